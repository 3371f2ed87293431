# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a detector, listed in the order of the scan, as counts per pixel and channel."""

# mypy: disable-error-code="misc"

from numba import njit


@njit(cache=True, nogil=True)
def add_events(stream, mark, n_columns, counts, first_column, first_channel):  # type: ignore[no-untyped-def]
    """Add the events of some rows to a region of the map.

    Parameters
    ----------
    stream : ndarray of shape (n_events,), uint16
        Channels; `mark` ends a pixel. Begins with the first pixel of the region's first row.
    mark : int
    n_columns : int
        Pixels of a row of the scan.
    counts : ndarray of shape (n_rows, n_x, n_channels)
        The region; added to in place. Events outside of it are passed over.
    first_column, first_channel : int
        Where the region begins in the scan.
    """
    row, column = 0, 0
    n_rows, n_x, n_channels = counts.shape
    for event in stream:
        if event == mark:
            column += 1
            if column == n_columns:
                column = 0
                row += 1
                if row == n_rows:
                    return
        else:
            x, channel = column - first_column, int(event) - first_channel
            if 0 <= x < n_x and 0 <= channel < n_channels:
                counts[row, x, channel] += 1


@njit(cache=True, nogil=True)
def events_per_pixel(stream, mark, n_events):  # type: ignore[no-untyped-def]
    """Add up the number of events of each pixel over all frames of a scan.

    Parameters
    ----------
    stream : ndarray of shape (n_events,), uint16
    mark : int
    n_events : ndarray of shape (n_pixels,), int64
        Added to in place; the stream goes through it once a frame.
    """
    pixel = 0
    for event in stream:
        if event == mark:
            pixel += 1
            if pixel == len(n_events):
                pixel = 0
        else:
            n_events[pixel] += 1
