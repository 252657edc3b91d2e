"""Writes the files of this folder with h5py, apart from one in the oldest format that HDF5 still
writes, which is the default of h5py. The same bytes every time."""

import h5py
import numpy as np


def file(name, **kw):
    f = h5py.File(name + ".h5", "w", **kw)
    put = lambda path, **kw: f.create_dataset(path, track_times=False, **kw)
    return f, put


f, put = file("from_h5py")
put("scalar/i64", data=np.int64(-5))
put("scalar/f64", data=np.float64(0.1))
put("scalar/vlen", data="größe", dtype=h5py.string_dtype())
put("scalar/fixed", data=np.bytes_("dense"))
put("array/u8", data=np.arange(6, dtype="u1").reshape(2, 3))
put("array/i16_big_endian", data=np.arange(-2, 2, dtype=">i2"))
put("array/f16", data=np.array([0.5, -2, 65504], dtype="f2"))
put("array/bool", data=np.array([True, False, True]))
put("array/enum", data=[2, 1], dtype=h5py.enum_dtype({"ONE": 1, "TWO": 2}, basetype="i2"))
put("array/fixed", data=np.array([b"conv", b"flatten"]))
put("array/fixed_utf8", data=np.array(["ä".encode()], dtype=h5py.string_dtype("utf-8", 4)))
put("array/edges", data=[["in", "a"], ["a", ""]], dtype=h5py.string_dtype())
put("array/empty", data=np.zeros((0, 3), "f4"))
space = h5py.h5t.C_S1.copy()
space.set_size(6)
space.set_strpad(h5py.h5t.STR_SPACEPAD)
put("array/space_padded", shape=(1,), dtype=h5py.Datatype(space))
f["array/space_padded"].id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b" a b  "]), space)
put("chunked/gzip_shuffle", data=np.arange(70, dtype="i4").reshape(7, 10), chunks=(4, 4),
    compression="gzip", shuffle=True)
put("chunked/gzip", data=np.arange(10, dtype="f4"), compression="gzip", compression_opts=9)
put("chunked/never_written", shape=(3,), dtype="i4", chunks=(2,), fillvalue=7)
put("chunked/resizable", data=np.arange(5, dtype="i8"), maxshape=(None,), chunks=(2,))
put("strange/null", data=h5py.Empty("f4"))
put("strange/compound", data=np.zeros(2, dtype=[("a", "i4"), ("b", "f4")]))
put("strange/ragged", data=[np.arange(2), np.arange(3)], dtype=h5py.vlen_dtype("i4"))
put("strange/opaque", data=np.void(b"abc"))
put("strange/latin1", data=np.bytes_(b"\xe4"))
put("strange/latin1_vlen", data=b"\xe4", dtype=h5py.string_dtype())
twelve_bits = h5py.h5t.STD_I16LE.copy()
twelve_bits.set_precision(12)
put("strange/twelve_bits", shape=(1,), dtype=h5py.Datatype(twelve_bits))
put("strange/f128", data=np.longdouble(1))
f["hard"] = f["scalar/i64"]
f["type"] = np.dtype("f4")
f["scalar"].attrs["note"] = "passed over"
for i in range(12):
    put(f"layer/{i}/type", data=np.array([b"input"], dtype="S10"))
f.close()

# The library lists no group of the oldest format that has a soft link.
f, put = file("soft_link")
put("x", data=np.int64(1))
f["soft"] = h5py.SoftLink("/x")
f.close()

f, put = file("circle")
f.create_group("a")["b"] = f["/"]
f.close()

# Every group has the next one as two members.
f, put = file("branching", libver="v110")
group = f
for level in range(16):
    group["b"] = group.create_group("a")
    group = group["a"]
f.close()

# Nothing of these is stored.
f, put = file("large_shape")
put("x", shape=(1 << 40,), dtype="u1")
f.close()

f, put = file("large_together")
put("0", shape=(9 << 20,), dtype="u1")
f["1"] = f["0"]
f.close()

f, put = file("many_chunks")
put("x", shape=(1 << 20,), dtype="u1", chunks=(1,))
f.close()

f, put = file("growing", libver="v110")
put("x", data=np.arange(5), maxshape=(None,), chunks=(2,))
put("fixed", data=np.arange(5), chunks=(2,), compression="gzip")
f.close()

f, put = file("large_chunk")
put("x", data=np.zeros(1, "u1"), maxshape=(None,), chunks=(1 << 21,), compression="gzip")
f.close()

f, put = file("many_strings")
put("x", shape=(1 << 20,), dtype=h5py.string_dtype())
f.close()

# As many references to one text, which is stored once.
f, put = file("shared_text")
put("x", data=["a" * 4000] + ["b"] * 299, dtype=h5py.string_dtype())
address = f["x"].id.get_offset()
f.close()
data = bytearray(open("shared_text.h5", "rb").read())
for i in range(1, 300):
    data[address + 16 * i:address + 16 * i + 16] = data[address:address + 16]
open("shared_text.h5", "wb").write(data)
