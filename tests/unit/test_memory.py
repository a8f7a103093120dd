"""Memory that is used again."""

import gc

import numpy as np
import pytest
import torch

from usct.forward import memory


@pytest.fixture(autouse=True)
def fresh():
    # What earlier tests left in reference cycles would otherwise come back in the middle of this one.
    gc.collect()
    memory.release()
    yield
    memory.release()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 0, 4), (0,)])
@pytest.mark.parametrize("dtype", [np.complex128, np.complex64, np.float32, np.uint8])
def test_shape_and_type_are_those_asked_for(shape, dtype):
    array = memory.empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.writeable
    assert array.flags.c_contiguous
    array[...] = 1


def test_memory_returns_when_nothing_refers_to_it():
    first = memory.empty((100, 100), np.complex128)
    where = address(first)
    del first
    assert address(memory.empty((90, 100), np.complex128)) == where


@pytest.mark.parametrize(
    "keep", [lambda a: a[10:20], lambda a: a.T, torch.from_numpy, lambda a: memoryview(a)]
)
def test_views_keep_their_memory(keep):
    array = memory.empty((100, 100), np.float64)
    array[...] = 7.0
    where, view = address(array), keep(array)
    del array
    gc.collect()
    others = [memory.empty((100, 100), np.float64) for _ in range(3)]
    for other in others:
        assert address(other) != where
        other[...] = 0.0
    assert np.asarray(view).min() == 7.0
    del view
    assert address(memory.empty((100, 100), np.float64)) == where


def test_two_arrays_never_share_memory():
    arrays = [memory.empty((50, 50), np.complex128) for _ in range(6)]
    del arrays[::2]
    arrays += [memory.empty((50, 50), np.complex128) for _ in range(6)]
    for number, array in enumerate(arrays):
        array[...] = number
    assert [float(array.real.mean()) for array in arrays] == list(range(len(arrays)))


def test_small_requests_do_not_take_large_blocks():
    large = memory.empty((1 << 20,), np.uint8)
    where = address(large)
    del large
    assert address(memory.empty((1 << 10,), np.uint8)) != where


def test_the_stock_is_bounded():
    arrays = [memory.empty((1000 + n,), np.float64) for n in range(3 * memory.MAX_SPARE_BLOCKS)]
    del arrays
    assert len(memory._spare) == memory.MAX_SPARE_BLOCKS
    memory.release()
    assert not memory._spare


def test_garbage_collected_while_taking_memory_does_not_lock_up():
    # A reference cycle ends whenever the collector runs, perhaps inside the stock's own critical section.
    array = memory.empty((100,), np.float64)
    with memory._lock:
        del array
    assert len(memory._spare) == 1
