SELECT DISTINCT image_ref FROM staged WHERE image_ref IS NOT NULL ORDER BY image_ref
