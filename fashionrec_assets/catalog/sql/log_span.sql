SELECT epoch(min(ts))::BIGINT, epoch(max(ts))::BIGINT FROM read_parquet({interactions})
