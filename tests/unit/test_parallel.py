"""Pieces of work on threads."""

import os
import threading

import pytest
import threadpoolctl
import torch

from usct.forward.parallel import each, n_threads, shares, single_threaded_blas


def blas_threads():
    # MKL, which a benchmark may have loaded, counts threads for each calling thread.
    return sorted(
        library["num_threads"]
        for library in threadpoolctl.threadpool_info()
        if library["internal_api"] == "openblas"
    )


@pytest.mark.parametrize("n", [0, 1, 2, 7, 64, 1001])
@pytest.mark.parametrize("most", [None, 1, 5, 4096])
def test_shares_cover_the_range_once(n, most):
    slices = shares(n, most)
    assert [i for s in slices for i in range(n)[s]] == list(range(n))
    assert all(s.stop > s.start for s in slices)
    if most is not None:
        assert all(s.stop - s.start <= most for s in slices)


def test_results_come_in_order():
    assert each(lambda n: n * n, range(100)) == [n * n for n in range(100)]
    assert each(lambda n: n, []) == []


def test_errors_reach_the_caller():
    with pytest.raises(ZeroDivisionError):
        each(lambda n: 1 // n, [1, 0, 2])
    assert each(lambda n: n, [3]) == [3]


def test_blas_keeps_to_one_thread_and_gets_its_threads_back():
    torch.ones(2, 2) @ torch.ones(2, 2)
    before = blas_threads()
    with single_threaded_blas():
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        # Still inside the outer one.
        assert set(blas_threads()) == {1}
        assert each(lambda _: blas_threads(), [0])[0] == blas_threads()
    assert blas_threads() == before


def test_blas_gets_its_threads_back_after_an_error():
    before = blas_threads()
    with pytest.raises(RuntimeError), single_threaded_blas():
        raise RuntimeError
    assert blas_threads() == before


def test_threads_stay_within_what_is_granted():
    assert 1 <= n_threads() <= (os.cpu_count() or 1)
    names = each(lambda _: threading.current_thread().name, range(50))
    assert len(set(names)) <= n_threads()
