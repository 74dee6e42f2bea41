"""Pictures that are decoded batch by batch, as they are needed, where all of them would
not fit into memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from convblocks.pictures.decoding import read_pixels


class LazyImages(Tensor):
    """Stands where a tensor of images (N, C, H, W) uint8 stands, and holds only the
    paths of their pictures.

    A slice and ``images[indices]`` choose pictures without decoding them; ``split``,
    ``index_select`` and ``batches`` decode a batch at a time. Any other operation
    decodes all of them first.

    Args:
        paths: The picture files.
        shape: (C, H, W), to which they are scaled.
        device: Where decoded images are put.

    Raises:
        DataError: when decoding, if a picture can no longer be read.
    """

    paths: Sequence[Path]

    # Otherwise torch would turn the results of operations into objects of this class.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(
        cls, paths: Sequence[Path], shape: tuple[int, ...], device: torch.device | None = None
    ) -> "LazyImages":
        make: Callable[..., LazyImages] = Tensor._make_wrapper_subclass
        images = make(cls, (len(paths), *shape), dtype=torch.uint8, device=device)
        images.paths = paths
        return images

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        operation: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        args, kwargs = tree_map_only(cls, cls._decoded, (args, kwargs or {}))
        return operation(*args, **kwargs)

    def _decoded(self) -> Tensor:
        return next(self.split(len(self)))

    def to(self, device: torch.device) -> Tensor:  # type: ignore[override]
        """Other LazyImages of the same pictures, which are put on this device when decoded."""
        return LazyImages(self.paths, self.shape[1:], device)

    def __getitem__(self, chosen: Any) -> Tensor:
        """A slice or a tensor of indices chooses pictures; an index decodes one, (C, H, W)."""
        if isinstance(chosen, Tensor):
            chosen = chosen.cpu()
        indices = torch.arange(len(self))[chosen]
        if not indices.ndim:
            return self.index_select(0, indices[None])[0]
        return LazyImages(self._paths_of(indices), self.shape[1:], self.device)

    def _paths_of(self, indices: Tensor) -> list[Path]:
        return [self.paths[index] for index in indices.tolist()]

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The images of these indices, decoded."""
        (images,) = self.batches([index])
        return images

    def split(self, size: int) -> Iterator[Tensor]:  # type: ignore[override]
        """Batches of that size, in order; the next is decoded while one is used."""
        return self.batches(torch.arange(len(self)).split(size))

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each part, which holds indices; the next part is decoded while
        one is used.

        Raises:
            DataError: a picture can no longer be read.
        """
        shape = self.shape[1:]
        decode = partial(read_pixels, shape=shape)
        # Threads rather than processes: Pillow releases the GIL, and pixels need not be sent.
        with ThreadPoolExecutor() as threads:
            started = (threads.map(decode, self._paths_of(part)) for part in parts)
            for images, _ in pairwise(chain(started, [iter(())])):
                pixels = np.array(list(images), dtype=np.uint8)
                yield torch.from_numpy(pixels.reshape(-1, *shape)).to(self.device)
