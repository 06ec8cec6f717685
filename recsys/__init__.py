"""The engine: data, text, features, candidates, ranking, selection, bundle, one request path, one training path.

Idle OpenMP threads must sleep, not spin: numpy, torch, FAISS and LightGBM share few cores. The variable is read when the
first of them loads, so it is set here, before any of them is imported.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
