"""Visual grounding: where in a photo the garment is, and the crop of it that everything downstream sees.

Belongs here: grounders (photo to box), cutting and encoding crops, colours measured inside them, contact sheets.
Does not belong here: reading photo files (`catalog.photos`), embeddings of crops (`embeddings`).
"""
