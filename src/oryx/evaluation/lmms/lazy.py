"""A list that is made while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class LazyList(Sequence[T], Generic[T]):
    """Items that come one after the other from an iterator, each made when it is first asked for.

    lmms-eval stores an answer in its response cache when it takes it out of what the model returned. A list
    would be there only after the last answer; of this, each answer is stored before the next one is made, so
    a run that is killed has kept all of them.
    """

    def __init__(self, items: Iterator[T], length: int) -> None:
        self._items = items
        self._length = length
        self._made: list[T] = []

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        place = index + self._length if index < 0 else index
        if not 0 <= place < self._length:
            raise IndexError(index)
        while len(self._made) <= place:
            self._made.append(next(self._items))
            if len(self._made) == self._length:
                next(self._items, None)  # what the iterator does after its last item
        return self._made[place]
