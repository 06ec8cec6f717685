"""Published rows of the leave-one-out tables, to be printed beside what was measured."""

from __future__ import annotations

CUTOFFS = (5, 10, 20)

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "beauty": {
        "SASRec, one negative (S3-Rec)": {"Recall@5": 0.0387, "NDCG@5": 0.0249, "Recall@10": 0.0605, "NDCG@10": 0.0318},
        "SASRec, sampled softmax (RecTools)": {"Recall@10": 0.0921, "NDCG@10": 0.0531},
        "ICSRec": {"Recall@5": 0.0698, "NDCG@5": 0.0494, "Recall@10": 0.0959, "NDCG@10": 0.0578},
        "BSARec": {"Recall@5": 0.0736, "NDCG@5": 0.0523, "Recall@10": 0.1008, "NDCG@10": 0.0611},
    },
    "sports": {
        "SASRec, one negative (S3-Rec)": {"Recall@5": 0.0233, "NDCG@5": 0.0154, "Recall@10": 0.0350, "NDCG@10": 0.0192},
        "SASRec, sampled softmax (RecTools)": {"Recall@10": 0.0569, "NDCG@10": 0.0314},
        "ICSRec": {"Recall@5": 0.0403, "NDCG@5": 0.0283, "Recall@10": 0.0565, "NDCG@10": 0.0335},
    },
}
"""All trained on everything but the last two items of each customer, as `--protocol pure` is, in the published order of items of one day.

Sources: all_rank.PNG of aHuiWang/CIKM2020-S3Rec; README of blondered/transformer_benchmark (it leaves out customers whose target is cold);
README of QinHsiu/ICSRec; BSARec_Beauty_best.log of yehjin-shin/BSARec.
"""
