# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem import settings
from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.errors import InputError
from mlatem.model import Basis, SparseCounts, TileStatistics


def n_axes(basis):
    return int(basis.in_span.sum()), int((~basis.in_span).sum())


@pytest.mark.parametrize("dose", [20.0, 100.0, 500.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_many_axes_as_phases(specimen, dictionary, dose, seed):
    _, statistics, _ = specimen(dose=dose, seed=seed)
    basis = low_rank(statistics, dictionary(512))
    basis.validate()
    assert n_axes(basis) == (3, 0)
    assert low_rank(statistics).rank == 3


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_phases", [1, 2])
def test_no_axis_for_noise(specimen, dictionary, seed, n_phases):
    _, statistics, _ = specimen(seed=seed, n_phases=n_phases)
    assert n_axes(low_rank(statistics, dictionary(512))) == (n_phases, 0)
    assert low_rank(statistics).rank == n_phases


@pytest.mark.parametrize("dose", [20.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_phase_on_few_pixels_has_its_axis(specimen, dictionary, dose, seed):
    _, statistics, _ = specimen(side=64, n_energy=256, dose=dose, n_rare=12, seed=seed)
    basis = low_rank(statistics, dictionary(256))
    assert basis.in_span.sum() == 4
    lines = dictionary(256)
    zirconium = lines.columns[lines.names.index("Zr")] * basis.weights
    found = np.linalg.norm(basis.axes @ zirconium) / np.linalg.norm(zirconium)
    assert found > 0.8


def test_element_missing_from_the_dictionary_has_a_residual_axis(specimen, dictionary):
    _, statistics, _ = specimen(n_rare=16)
    basis = low_rank(statistics, dictionary(512, without=("Zr",)))
    assert n_axes(basis)[1] == 1
    lines = dictionary(512)
    spectrum = basis.spectra[~basis.in_span][0]
    match = lines.columns @ spectrum
    assert lines.names[np.argmax(np.abs(match))] == "Zr"


def test_whitened_moment_equals_the_formula(specimen):
    counts, statistics, _ = specimen(side=12, n_energy=60, dose=300.0, n_phases=2)
    basis = low_rank(statistics, options=settings.Denoise(rank=5))
    dense = counts.to_dense().astype(float)
    used = dense.sum(axis=0) > 0
    w, g = basis.weights[used], dense.sum(axis=1)[:, None]
    y = dense[:, used]
    moment = w[:, None] * ((y / g).T @ y - np.diag((y / g).sum(axis=0))) * w
    mean = basis.axes[0, used]
    off_mean = np.eye(used.sum()) - np.outer(mean, mean)
    expected = np.linalg.eigvalsh(off_mean @ moment @ off_mean)[::-1]
    np.testing.assert_allclose(basis.eigenvalue[0], mean @ moment @ mean, rtol=1e-10)
    np.testing.assert_allclose(basis.eigenvalue[1:], expected[:4], rtol=1e-8)
    np.testing.assert_allclose(
        mean / np.linalg.norm(mean), y.sum(0) * w / np.linalg.norm(y.sum(0) * w)
    )


def test_tiling_changes_nothing(specimen, dictionary):
    counts, statistics, _ = specimen()
    dense = counts.to_dense()
    total = TileStatistics.zero(counts.n_energy)
    for start in range(0, len(dense), 300):
        rows = dense[start : start + 300]
        total = tile_statistics(SparseCounts.from_dense(rows, np.arange(len(rows)))) + total
    one, other = low_rank(statistics, dictionary(512)), low_rank(total, dictionary(512))
    np.testing.assert_allclose(one.axes, other.axes, atol=1e-9)
    np.testing.assert_allclose(one.eigenvalue, other.eigenvalue, rtol=1e-9)


@pytest.mark.parametrize("wanted", [1, 2, 6, 40])
def test_rank_as_a_number(specimen, dictionary, wanted):
    _, statistics, _ = specimen(n_energy=128)
    options = settings.Denoise(rank=wanted)
    for columns in (None, dictionary(128)):
        basis = low_rank(statistics, columns, options)
        basis.validate()
        assert basis.rank == wanted
        assert f"set to {wanted}" in rank_decision(basis, options).reason


def test_more_axes_than_channels_gives_all(specimen):
    _, statistics, _ = specimen(side=8, n_energy=40)
    n_used = np.count_nonzero(statistics.total)
    assert low_rank(statistics, options=settings.Denoise(rank=100)).rank == n_used


def test_max_rank_cuts_and_says_so(specimen, dictionary):
    _, statistics, _ = specimen(n_rare=16)
    options = settings.Denoise(max_rank=2)
    basis = low_rank(statistics, dictionary(512), options)
    assert basis.rank == 2
    decision = rank_decision(basis, options)
    assert "denoise.max_rank = 2" in decision.reason
    assert decision.setting == "denoise.rank"


def test_decision_names_both_kinds_of_axes(specimen, dictionary):
    _, statistics, _ = specimen(n_rare=16)
    basis = low_rank(statistics, dictionary(512, without=("Zr",)))
    reason = rank_decision(basis, settings.Denoise()).reason
    n_in_span, n_residual = n_axes(basis)
    assert n_residual == 1
    assert f"{n_in_span - 1} axes above the noise edge in the span" in reason
    assert "1 outside" in reason
    assert "cut" not in reason


@pytest.mark.parametrize("dose", [0.05, 3.0, 100.0])
def test_small_map_of_many_channels(specimen, dictionary, dose):
    counts, statistics, _ = specimen(side=8, n_energy=1024, dose=dose)
    assert counts.n_events > 0
    basis = low_rank(statistics, dictionary(1024))
    basis.validate()
    assert n_axes(basis)[0] in (1, 2, 3)
    assert n_axes(basis)[1] == 0


def test_channels_without_counts_are_left_out(dictionary, specimen):
    counts, _, _ = specimen()
    dense = counts.to_dense()
    dense[:, 100:300] = 0
    statistics = tile_statistics(SparseCounts.from_dense(dense, np.arange(len(dense))))
    basis = low_rank(statistics, dictionary(512))
    assert not basis.axes[:, 100:300].any() and not basis.spectra[:, 100:300].any()
    assert np.all(np.isfinite(basis.spectra))


@pytest.mark.parametrize("n_photons", [1, 2])
def test_hardly_any_counts(n_photons):
    dense = np.zeros((5, 30), dtype=np.uint8)
    dense[2, 4 : 4 + n_photons] = 1
    basis = low_rank(tile_statistics(SparseCounts.from_dense(dense, np.arange(5))))
    basis.validate()
    assert basis.rank == 1


def test_edges_are_finite_and_scree_decreases(specimen, dictionary):
    _, statistics, _ = specimen()
    basis = low_rank(statistics, dictionary(512))
    assert 0 < basis.edge_in_span < basis.edge_residual
    assert np.all(np.diff(basis.scree_in_span) <= 0) and np.all(np.diff(basis.scree_residual) <= 0)
    assert np.isnan(low_rank(statistics).edge_in_span)


def test_energy_axis(specimen, dictionary):
    _, statistics, _ = specimen(n_energy=128)
    axis = np.linspace(0, 10, 128)
    assert np.array_equal(low_rank(statistics, energy=axis).energy, axis)
    assert np.array_equal(low_rank(statistics).energy, np.arange(128))
    assert np.array_equal(low_rank(statistics, dictionary(128)).energy, dictionary(128).energy)
    with pytest.raises(InputError, match="energy axis"):
        low_rank(statistics, energy=axis[1:])


def test_a_map_without_counts_is_refused():
    with pytest.raises(InputError, match="no counts"):
        low_rank(TileStatistics.zero(8))


def test_dictionary_of_another_window_is_refused(specimen, dictionary):
    _, statistics, _ = specimen(n_energy=128)
    with pytest.raises(InputError, match="256 channels and the counts 128"):
        low_rank(statistics, dictionary(256))


def test_basis_through_a_dataset(specimen, dictionary):
    _, statistics, _ = specimen(n_energy=128)
    for columns in (None, dictionary(128)):
        basis = low_rank(statistics, columns)
        again = Basis.from_dataset(basis.to_dataset())
        for name in Basis.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(again, name), getattr(basis, name))
    with pytest.raises(InputError, match="not a basis"):
        Basis.from_dataset(basis.to_dataset().assign_attrs(basis_schema="other"))


def test_the_floor_hides_chance_pairs():
    """Noise of a peaked spectrum whose far channels hold a photon or two makes no axis."""
    spectrum = np.exp(-np.arange(1024) / 40.0)
    spectrum *= 60 / spectrum.sum()
    for seed in range(5):
        dense = np.random.default_rng(seed).poisson(np.tile(spectrum, (1500, 1)))
        statistics = tile_statistics(SparseCounts.from_dense(dense, np.arange(1500)))
        assert low_rank(statistics).rank == 1
