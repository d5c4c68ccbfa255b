"""Latents: mean and deviation of q(z|x) for every sample of every split, as they lie in a lab.

Bridges train on these and never touch pixels. Shapes: N samples, D latent.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from . import parquet
from .config import UNLABELLED
from .domains import SPLITS, Split
from .errors import LabError
from .lab import Lab


@dataclass(frozen=True)
class Latents:
    """The posteriors of one split: mu (N, D), sigma (N, D), labels (N,).

    With more than one place the rows are all items in the first place, then all in the next.
    """

    mu: NDArray[np.float32]
    sigma: NDArray[np.float32]
    labels: NDArray[np.int64]
    n_places: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def items(self) -> NDArray[np.int64]:
        """(N,): which item each row is of."""
        return np.tile(np.arange(len(self) // self.n_places), self.n_places)

    @property
    def labels_of_items(self) -> NDArray[np.int64]:
        """(N / n_places,): each item once."""
        return self.labels[: len(self) // self.n_places]

    @property
    def mu_of_items(self) -> NDArray[np.float32]:
        """(N / n_places, D): each item in its first place."""
        return self.mu[: len(self) // self.n_places]

    def rows_of(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some items, in all their places."""
        starts = np.arange(self.n_places)[:, None] * (len(self) // self.n_places)
        rows: NDArray[np.int64] = (starts + items).ravel()
        return rows


def write(lab: Lab, latents_id: str, splits: Mapping[Split, Latents], more: Mapping[str, bytes] | None = None) -> None:
    """Publishes lab/latents/<latents_id>: a Parquet file a split, and `more` files."""
    files = {f"{split}.parquet": _to_parquet(latents) for split, latents in splits.items()}
    lab.publish_folder(f"latents/{latents_id}", files | dict(more or {}))


def read(lab: Lab, latents_id: str) -> dict[Split, Latents]:
    """The latents of all splits. Raises LabError where they are missing or damaged."""
    return {split: _from_parquet(lab, f"latents/{latents_id}/{split}.parquet") for split in SPLITS}


def _schema(width: int) -> pa.Schema:
    vector = pa.list_(pa.float32(), width)
    return pa.schema({"item": pa.int32(), "label": pa.uint8(), "mu": vector, "sigma": vector})


def _to_parquet(latents: Latents) -> bytes:
    width = latents.mu.shape[1]
    columns = {
        "item": pa.array(latents.items.astype(np.int32)),
        "label": pa.array(latents.labels.astype(np.uint8), mask=latents.labels == UNLABELLED),
        "mu": pa.FixedSizeListArray.from_arrays(pa.array(latents.mu.ravel()), width),
        "sigma": pa.FixedSizeListArray.from_arrays(pa.array(latents.sigma.ravel()), width),
    }
    sink = io.BytesIO()
    table = pa.table(columns, schema=_schema(width))
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def _from_parquet(lab: Lab, path: str) -> Latents:
    try:
        with lab.open(path) as file:
            source = parquet.opened(file)
            width = source.schema_arrow.field("mu").type.list_size
            table = parquet.read(file, source, _schema(width))
        if width < 1 or any(column.null_count for column in table.drop_columns("label").columns):
            raise ValueError("it has no latents, or lacks some")
        mu, sigma = (np.stack(table[name].to_numpy(zero_copy_only=False)) for name in ("mu", "sigma"))
        n_places = max(1, int(np.count_nonzero(table["item"].to_numpy() == 0)))
        labels = pc.fill_null(table["label"].cast(pa.int64()), UNLABELLED).to_numpy()
        found = Latents(mu, sigma, labels, n_places)
        if not np.array_equal(table["item"], found.items):
            raise ValueError("its items are out of order")
        return found
    except (pa.ArrowException, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabError(f"{lab.show(path)} does not hold latents ({reason}); remove its folder and run again") from None
