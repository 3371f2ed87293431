# SPDX-License-Identifier: GPL-3.0-or-later
"""Take-off angles and the path of the beam."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Acquisition, Value
from mlatem.physics.absorption import self_absorption_factor
from mlatem.physics.geometry import geometry_of, take_off_angle_deg

DEFAULT = 22.0
SUPER_X = "45, 135, 225, 315"


def known(origin="file", **values):
    return Acquisition({name: Value(value, origin) for name, value in values.items()})


def geometry(origin="file", **values):
    return geometry_of(known(origin, **values), DEFAULT)


def rotated_normal_angle(elevation, azimuth, alpha, beta):
    """The same by rotation matrices: the stage's beta axis (x) is carried by alpha (y)."""
    el, az, a, b = np.radians([elevation, azimuth, alpha, beta])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    normal = about_y @ about_x @ [0, 0, 1]
    detector = [np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)]
    return np.degrees(np.arcsin(normal @ detector))


def test_the_published_example():
    # Documentation of eXSpy's take_off_angle: alpha 10, azimuth 45, elevation 22 degrees.
    assert take_off_angle_deg(22.0, 45.0, 10.0) == pytest.approx(28.865971201155283, rel=1e-12)


@pytest.mark.parametrize("azimuth", [0.0, 45.0, 135.0, -60.0])
@pytest.mark.parametrize(("alpha", "beta"), [(0, 0), (15, 0), (-10, 0), (0, 12), (15, -8)])
def test_angle_between_a_rotated_surface_and_the_detector(azimuth, alpha, beta):
    expected = rotated_normal_angle(20.0, azimuth, alpha, beta)
    assert take_off_angle_deg(20.0, azimuth, alpha, beta) == pytest.approx(expected, abs=1e-9)


def test_tilting_towards_the_detector_adds_the_tilt():
    assert take_off_angle_deg(20.0, 0.0, 15.0) == pytest.approx(35.0)
    assert take_off_angle_deg(20.0, 180.0, 15.0) == pytest.approx(5.0)
    assert take_off_angle_deg(20.0, 90.0, 0.0, 10.0) == pytest.approx(30.0)


def test_nothing_known_takes_the_default():
    assert geometry().take_off_angles_deg == (DEFAULT,)
    assert geometry().origin == "default"


def test_the_elevation_counts_where_nothing_is_tilted():
    found = geometry(elevation_deg=18.0)
    assert found.take_off_angles_deg == pytest.approx((18.0,))
    assert found.origin == "file"
    assert geometry(elevation_deg=0.0).origin == "default"


def test_four_segments_are_four_angles():
    named = geometry(elevation_deg=18.0, azimuth_deg=SUPER_X, stage_tilt_deg=10.0)
    assumed = geometry(elevation_deg=18.0, n_detectors=4, stage_tilt_deg=10.0)
    assert named.take_off_angles_deg == assumed.take_off_angles_deg
    assert sorted(named.take_off_angles_deg) == pytest.approx(2 * [10.81] + 2 * [24.9], abs=0.01)
    assert named.warnings == ()


def test_several_detectors_average_the_factor_not_the_angle():
    angles = (10.0, 30.0)
    options = {"mass_thickness_kg_m2": 1e-3}
    mean = self_absorption_factor({"O": 1.0}, [0.4], take_off_angle_deg=angles, **options)
    each = [
        self_absorption_factor({"O": 1.0}, [0.4], take_off_angle_deg=angle, **options)
        for angle in angles
    ]
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-12)
    middle = self_absorption_factor({"O": 1.0}, [0.4], take_off_angle_deg=20.0, **options)
    assert not np.allclose(mean, middle, rtol=1e-3)


def test_the_effective_angle_is_that_of_weak_absorption():
    found = geometry(elevation_deg=18.0, azimuth_deg=SUPER_X, stage_tilt_deg=10.0)
    options = {"mass_thickness_kg_m2": 1e-9}
    several = self_absorption_factor(
        {"O": 1.0}, [0.4], take_off_angle_deg=found.take_off_angles_deg, **options
    )
    one = self_absorption_factor(
        {"O": 1.0}, [0.4], take_off_angle_deg=found.effective_angle_deg, **options
    )
    np.testing.assert_allclose(1 - several, 1 - one, rtol=1e-4)


def test_the_beam_goes_farther_through_a_tilted_specimen():
    found = geometry(elevation_deg=40.0, azimuth_deg=90.0, stage_tilt_deg=60.0)
    assert found.beam_path == pytest.approx(2.0)


def test_a_given_angle_takes_precedence_over_the_files_geometry():
    acquisition = known(elevation_deg=18.0).updated({"take_off_angle_deg": 25.0}, "user")
    found = geometry_of(acquisition, DEFAULT)
    assert found.take_off_angles_deg == (25.0,)
    assert found.origin == "user"
    assert "give 18.0" in found.warnings[0].message
    agreeing = known(elevation_deg=18.0).updated({"take_off_angle_deg": 18.4}, "user")
    assert geometry_of(agreeing, DEFAULT).warnings == ()


def test_an_invented_elevation_contradicts_nothing():
    acquisition = known("default", elevation_deg=35.0)
    acquisition = acquisition.updated({"take_off_angle_deg": 22.0}, "user")
    assert geometry_of(acquisition, DEFAULT).warnings == ()


def test_an_unknown_azimuth_of_a_tilted_stage_is_told():
    found = geometry(elevation_deg=20.0, stage_tilt_deg=15.0)
    assert found.take_off_angles_deg == (20.0,)
    assert "Give azimuth_deg" in found.warnings[0].message
    assert geometry(elevation_deg=20.0, stage_tilt_deg=0.5).warnings == ()


def test_hidden_detectors_are_left_out_and_told():
    found = geometry(elevation_deg=15.0, azimuth_deg="0 180", stage_tilt_deg=20.0)
    assert found.take_off_angles_deg == pytest.approx((35.0,))
    assert "1 of 2 detectors" in found.warnings[0].message


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"take_off_angle_deg": -5.0}, "take_off_angle_deg"),
        ({"elevation_deg": 95.0}, "elevation_deg"),
        ({"elevation_deg": -18.0}, "side of the specimen that the beam enters"),
        ({"elevation_deg": 20.0, "stage_tilt_deg": 95.0}, "away from the beam"),
        (
            {"elevation_deg": 20.0, "azimuth_deg": 180.0, "stage_tilt_deg": 30.0},
            "no detector sees",
        ),
        ({"elevation_deg": 20.0, "azimuth_deg": "north"}, "azimuth_deg is 'north'"),
        ({"elevation_deg": 18.0, "take_off_angle_deg": 25.0}, "give either"),
    ],
)
def test_contradictions_name_the_item(values, named):
    with pytest.raises(InputError, match=named):
        geometry("user", **values)
