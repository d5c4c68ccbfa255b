"""Labels for samples that have none, from the few that have one: they spread over the graph of nearest latents.

Label spreading (Zhou et al., "Learning with Local and Global Consistency", NIPS 2003), with the same number of samples
in every class. Shapes: N samples, D latent, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import UNLABELLED

if TYPE_CHECKING:
    import scipy.sparse

N_NEIGHBOURS = 10
ALPHA = 0.99
"""How much of its label a sample has from its neighbours."""
N_ROUNDS = 50
"""Of balancing, which has then all but ended."""
RESIDUAL = 1e-6
LEAST = 1e-12
"""Of any class in any sample: some have no way to a label."""


def graph(z_ND: NDArray[np.float32]) -> scipy.sparse.csr_array:
    """S = D^-1/2 W D^-1/2, where W joins each sample with those nearest to it, whichever of the two is near."""
    import scipy.sparse
    from sklearn.neighbors import kneighbors_graph

    near_NN = kneighbors_graph(z_ND, min(N_NEIGHBOURS, len(z_ND) - 1))
    w_NN = scipy.sparse.csr_array(near_NN.maximum(near_NN.T), dtype=np.float64)
    root_N = scipy.sparse.diags_array(1 / np.sqrt(w_NN.sum(1)))
    return scipy.sparse.csr_array(root_N @ w_NN @ root_N)


def spread(graph_NN: Any, labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """The likeliest class of every sample, of those that have a label (N,). Labels that are given stay.

    The unsure have one too: a bridge does worse where it knows only the half of each class that is the surest.
    """
    classes = np.unique(labels_N[labels_N != UNLABELLED])
    p_NC = _balanced(_reached(graph_NN, (labels_N[:, None] == classes).astype(np.float64)))
    return np.where(labels_N == UNLABELLED, classes[p_NC.argmax(1)], labels_N)


def _reached(graph_NN: Any, y_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """F = (I - alpha S)^-1 Y: where the labels of each class come to, along ways that each step makes fainter."""
    import scipy.sparse
    from scipy.sparse.linalg import cg

    system_NN = scipy.sparse.eye_array(len(y_NC), format="csr") - ALPHA * graph_NN
    return np.stack([cg(system_NN, y_N, rtol=RESIDUAL)[0] for y_N in y_NC.T], axis=1)


def _balanced(f_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of classes that all have the same share of the samples (Sinkhorn's iteration)."""
    p_NC = np.maximum(f_NC, LEAST)
    for _ in range(N_ROUNDS):
        p_NC = p_NC / p_NC.mean(0)
        p_NC = p_NC / p_NC.sum(1, keepdims=True)
    return p_NC
