// What lives here: walking COPY BINARY tuples without decoding them.
// Invariant: cuts fall between tuples, never inside one.
// Apart because the poison loop sends parts of a chunk again, and a part is a slice of the same buffer.

/** Where each tuple begins, and where the last one ends: `starts[i]..starts[i + 1]` is row i. */
export function tupleStarts(tuples: Uint8Array, rows: number): Uint32Array {
  const view = new DataView(tuples.buffer, tuples.byteOffset, tuples.byteLength);
  const starts = new Uint32Array(rows + 1);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    starts[row] = at;
    at = afterFields(view, at + 2, view.getInt16(at));
  }
  starts[rows] = at;
  if (at !== tuples.byteLength)
    throw new RangeError(`The ${rows} tuples of a chunk end at byte ${at} of ${tuples.byteLength}.`);
  return starts;
}

function afterFields(view: DataView, from: number, fields: number): number {
  let at = from;
  for (let field = 0; field < fields; field++) at += 4 + Math.max(0, view.getInt32(at));
  return at;
}

/** The bigint in the given field of the tuple that begins at `start`, or undefined if it is null or no bigint. */
export function bigintField(tuples: Uint8Array, start: number, field: number): number | undefined {
  const view = new DataView(tuples.buffer, tuples.byteOffset, tuples.byteLength);
  const at = afterFields(view, start + 2, field);
  return view.getInt32(at) === 8 ? Number(view.getBigInt64(at + 4)) : undefined;
}
