"""Neural collaborative filtering over fused token states (arXiv 2410.02219; NeuMF: He et al., WWW 2017).

Belongs here: token inputs, the cross-modal block and its alternatives, NeuMF and its controls, training, items without
events, the sweep of augmentation. Does not belong here: making synthetic rows (`synthesis`), experiments
(`evaluation`).
"""
