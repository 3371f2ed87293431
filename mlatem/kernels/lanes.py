# SPDX-License-Identifier: GPL-3.0-or-later
"""Short vectors of single precision numbers that stay in registers, for use in compiled kernels.

One lane per phase. An event of a sparse spectrum meets all phases at once: it loads one row, and
the sums over the events of a pixel never go through memory, whatever the number of phases.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import ArrayLike, NDArray

_LEAST_LANES = 4
#: Rounding may differ between machines, the order of the sums does not.
_FUSED = ("contract",)


class Lanes(types.Type):
    """Numba's type of a vector of `n` single precision numbers."""

    def __init__(self, n):
        self.n = n
        super().__init__(name=f"Lanes({n})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(ir.FloatType(), lanes.n))


def n_lanes(n_phases: int) -> int:
    """The number of lanes that hold `n_phases` numbers: a power of two."""
    return max(_LEAST_LANES, 1 << (n_phases - 1).bit_length())


def pattern(n_phases: int) -> tuple[np.float32, ...]:
    """What tells a kernel, by its type, how many lanes to use."""
    return (np.float32(0.0),) * n_lanes(n_phases)


def padded(rows: ArrayLike) -> NDArray[np.float32]:
    """Rows of shape (n_rows, n_phases) with zeros up to the number of lanes."""
    values = np.asarray(rows)
    result = np.zeros((values.shape[0], n_lanes(values.shape[1])), dtype=np.float32)
    result[:, : values.shape[1]] = values
    return result


@intrinsic
def zeros(typingctx, like):
    """Lanes of zeros, as many as `like` (see `pattern`) has."""
    lanes = Lanes(like.count)

    def codegen(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(lanes), [0.0] * lanes.n)

    return lanes(like), codegen


@intrinsic
def load(typingctx, like, array, row):
    """A row of a contiguous array of shape (n_rows, number of lanes of `like`), float32."""
    lanes = Lanes(like.count)

    def codegen(context, builder, signature, arguments):
        place = _place(context, builder, signature.args[1], arguments[1], arguments[2], lanes)
        return builder.load(place, align=4)

    return lanes(like, array, types.int64), codegen


@intrinsic
def store(typingctx, vector, array, row):
    """Overwrite a row of a contiguous array of shape (n_rows, number of lanes), float32."""
    lanes = vector

    def codegen(context, builder, signature, arguments):
        place = _place(context, builder, signature.args[1], arguments[1], arguments[2], lanes)
        builder.store(arguments[0], place, align=4)
        return context.get_dummy_value()

    return types.void(vector, array, types.int64), codegen


@intrinsic
def accumulate(typingctx, factor, vector, array, row):
    """Add `factor * vector` to a row of a contiguous array (n_rows, number of lanes), float64.

    The products are in single precision, the sums in double: they hardly depend on their order.
    """
    lanes = vector

    def codegen(context, builder, signature, arguments):
        factor, vector, array, row = arguments
        product = builder.fmul(_spread(context, builder, factor, lanes), vector)
        double = ir.VectorType(ir.DoubleType(), lanes.n)
        data = context.make_array(signature.args[2])(context, builder, array).data
        first = builder.mul(row, ir.Constant(row.type, lanes.n))
        place = builder.bitcast(builder.gep(data, [first]), double.as_pointer())
        total = builder.fadd(builder.load(place, align=8), builder.fpext(product, double))
        builder.store(total, place, align=8)
        return context.get_dummy_value()

    return types.void(types.float32, vector, array, types.int64), codegen


@intrinsic
def add_scaled(typingctx, total, factor, vector):
    """The lanes `total + factor * vector`, with a scalar factor."""
    lanes = total

    def codegen(context, builder, signature, arguments):
        total, factor, vector = arguments
        spread = _spread(context, builder, factor, lanes)
        return builder.fadd(total, builder.fmul(spread, vector, flags=_FUSED), flags=_FUSED)

    return lanes(total, types.float32, vector), codegen


@intrinsic
def times(typingctx, first, second):
    """Lane by lane product."""

    def codegen(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return first(first, second), codegen


@intrinsic
def dot(typingctx, first, second):
    """Scalar product, summed by halves."""
    lanes = first

    def codegen(context, builder, signature, arguments):
        value = builder.fmul(*arguments)
        n = lanes.n
        while n > 1:
            n //= 2
            low, high = (_picked(builder, value, range(start, start + n)) for start in (0, n))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(first, second), codegen


@intrinsic
def square_zeros(typingctx, like):
    """Zeros for as many lanes as the square of those of `like`: a matrix, row by row."""
    lanes = Lanes(like.count**2)

    def codegen(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(lanes), [0.0] * lanes.n)

    return lanes(like), codegen


@intrinsic
def outer(typingctx, vector):
    """The matrix of the products of all pairs of lanes, row by row."""
    n, square = vector.n, Lanes(vector.n**2)

    def codegen(context, builder, signature, arguments):
        row, column = (
            _picked(builder, arguments[0], [places(i) for i in range(n * n)])
            for places in (lambda i: i // n, lambda i: i % n)
        )
        return builder.fmul(row, column)

    return square(vector), codegen


@intrinsic
def store_square(typingctx, square, array):
    """Overwrite a contiguous array of shape (number of lanes, number of lanes), float32."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        place = builder.bitcast(data, context.get_value_type(square).as_pointer())
        builder.store(arguments[0], place, align=4)
        return context.get_dummy_value()

    return types.void(square, array), codegen


@intrinsic
def four_dots(typingctx, floor, vector, row_0, row_1, row_2, row_3):
    """`floor` plus the scalar products of a vector with four others, as four lanes."""
    lanes = vector

    def codegen(context, builder, signature, arguments):
        floor, vector, *rows = arguments
        halves = [_folded(builder, builder.fmul(vector, row), lanes.n) for row in rows]
        first, second = (
            builder.fadd(
                _mixed(builder, one, other, (0, 1, 4, 5)),
                _mixed(builder, one, other, (2, 3, 6, 7)),
            )
            for one, other in (halves[:2], halves[2:])
        )
        dots = builder.fadd(
            _mixed(builder, first, second, (0, 2, 4, 6)),
            _mixed(builder, first, second, (1, 3, 5, 7)),
        )
        return builder.fadd(_spread(context, builder, floor, Lanes(4)), dots)

    return Lanes(4)(types.float32, lanes, lanes, lanes, lanes, lanes), codegen


@intrinsic
def four_numbers(typingctx, array, first):
    """Four neighbours of a contiguous array of unsigned integers, as lanes."""
    bits = array.dtype.bitwidth

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        vector = ir.VectorType(ir.IntType(bits), 4)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())
        return builder.uitofp(builder.load(place, align=bits // 8), _four(context))

    return Lanes(4)(array, types.int64), codegen


@intrinsic
def store_four(typingctx, vector, array, first):
    """Overwrite four neighbours of a contiguous array, float32."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        place = builder.bitcast(builder.gep(data, [arguments[2]]), _four(context).as_pointer())
        builder.store(arguments[0], place, align=4)
        return context.get_dummy_value()

    return types.void(vector, array, types.int64), codegen


@intrinsic
def quotient(typingctx, first, second):
    """Lane by lane quotient."""

    def codegen(context, builder, signature, arguments):
        return builder.fdiv(*arguments)

    return first(first, second), codegen


@intrinsic(prefer_literal=True)
def lane(typingctx, vector, place):
    """The number in one lane, whose place is a literal."""
    index = place.literal_value

    def codegen(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], ir.Constant(ir.IntType(32), index))

    return types.float32(vector, place), codegen


def _four(context):
    return context.get_value_type(Lanes(4))


def _folded(builder, vector, n):
    """A vector of `n` lanes added up by halves until four are left."""
    while n > 4:
        n //= 2
        low, high = (_picked(builder, vector, range(start, start + n)) for start in (0, n))
        vector = builder.fadd(low, high)
    return vector


def _mixed(builder, first, second, places):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(first, second, mask)


def _place(context, builder, array_type, array, row, lanes):
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.mul(row, ir.Constant(row.type, lanes.n))
    return builder.bitcast(builder.gep(data, [first]), context.get_value_type(lanes).as_pointer())


def _spread(context, builder, scalar, lanes):
    vector = context.get_value_type(lanes)
    single = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    return _picked(builder, single, [0] * lanes.n)


def _picked(builder, vector, places):
    """The lanes at some places."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)
