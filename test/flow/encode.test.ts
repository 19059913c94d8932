import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTupleBuffer, writeTuple } from '../../src/flow/encode.ts';
import { json, table } from '../../src/flow/index.ts';
import { bigintField, tupleStarts } from '../../src/flow/tuples.ts';
import type { ColumnType } from '../../src/flow/table.ts';
import { copyInto } from '../../src/flow/table.ts';
import { copyTuples } from '../../src/store/copy-in.ts';
import { withClient } from '../../src/store/db.ts';
import { testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

/** What Postgres says of each value after it went through the encoder; a violation's code where it was refused. */
async function through(type: ColumnType, values: readonly unknown[], shown = 'v::text'): Promise<(string | null)[]> {
  const target = table('encoded', { v: type });
  const out = createTupleBuffer();
  const refused = new Map<number, string>();
  values.forEach((v, offset) => {
    const [violation] = writeTuple(out, target.columns, { source_id: 1, offset, v });
    if (violation) refused.set(offset, `! ${violation.code}`);
  });
  const tuples = out.bytes.subarray(0, out.used);
  return withClient(sink.pool, async (client) => {
    await client.query(`create temp table encoded (source_id bigint, "offset" bigint, v ${type})`);
    await copyTuples(client, copyInto('encoded', target), [tuples]);
    const { rows } = await client.query<{ offset: string; v: string | null }>(
      `select "offset", ${shown} as v from encoded`,
    );
    await client.query('drop table encoded');
    const back = new Map(rows.map(({ offset, v }) => [Number(offset), v]));
    return values.map((_, offset) => refused.get(offset) ?? back.get(offset)!);
  });
}

const gives = async (
  type: ColumnType,
  pairs: readonly (readonly [unknown, string | null])[],
  shown?: string,
): Promise<void> =>
  expect(
    await through(
      type,
      pairs.map(([value]) => value),
      shown,
    ),
  ).toEqual(pairs.map(([, text]) => text));

describe('a value', () => {
  it('of type numeric keeps every digit', () =>
    gives('numeric', [
      ['0', '0'],
      ['-0.00', '0.00'],
      ['1.10', '1.10'],
      ['-12345678901234567890.123456789', '-12345678901234567890.123456789'],
      ['1e3', '1000'],
      ['1.5e-7', '0.00000015'],
      [0.1, '0.1'],
      [1e21, '1000000000000000000000'],
      [10_000, '10000'],
      ['.5', '0.5'],
      ['5.', '5'],
      [-3n, '-3'],
      ['0001', '1'],
      ['NaN', '! not_number'],
      [Number.NaN, '! not_number'],
      ['1,5', '! not_number'],
      ['', '! not_number'],
      ['1e9999', '! out_of_range'],
      [null, null],
      [undefined, null],
    ]));

  it('of type bigint or integer is whole, exact and in range', async () => {
    await gives('bigint', [
      [9_007_199_254_740_991, '9007199254740991'],
      [9_007_199_254_740_992, '! not_integer'],
      ['9223372036854775807', '9223372036854775807'],
      ['9223372036854775808', '! out_of_range'],
      [1.5, '! not_integer'],
      ['+7', '7'],
      ['0x1f', '! not_integer'],
      [true, '! not_integer'],
    ]);
    await gives('integer', [
      [-2_147_483_648, '-2147483648'],
      [2_147_483_648, '! out_of_range'],
      [' 1', '! not_integer'],
    ]);
  });

  it('of type timestamptz needs its offset, and keeps microseconds', () =>
    gives(
      'timestamptz',
      [
        ['2026-11-21T09:30:00Z', '2026-11-21 09:30:00'],
        ['2026-11-21 09:30:00.123456+02:30', '2026-11-21 07:00:00.123456'],
        ['1969-12-31T23:59:59.999999Z', '1969-12-31 23:59:59.999999'],
        ['0001-01-01T00:00:00Z', '0001-01-01 00:00:00'],
        [new Date(0), '1970-01-01 00:00:00'],
        ['2024-02-29T00:00Z', '2024-02-29 00:00:00'],
        ['2023-02-29T00:00:00Z', '! no_such_day'],
        ['2026-11-21T24:00:00Z', '! no_such_time'],
        ['2026-11-21T09:30:00', '! not_instant'],
        [1_700_000_000, '! not_instant'],
        [new Date(Number.NaN), '! not_instant'],
      ],
      `(v at time zone 'UTC')::text`,
    ));

  it('of the other types is what it says or a violation', async () => {
    await gives('date', [
      ['2026-11-21', '2026-11-21'],
      ['1899-12-31', '1899-12-31'],
      ['2026-13-01', '! no_such_day'],
      ['21.11.2026', '! not_date'],
    ]);
    await gives('text', [
      ['é', 'é'],
      ['', ''],
      [12, '12'],
      ['a\0b', '! text_nul'],
      ['\ud800', '! text_surrogate'],
      [{}, '! not_text'],
    ]);
    await gives('jsonb', [
      [{ a: [1, null] }, '{"a": [1, null]}'],
      ['plain', '"plain"'],
      [{ a: '\0' }, '! json_text'],
      [{ a: '\\u0000' }, '{"a": "\\\\u0000"}'],
      [['\udc00'], '! json_text'],
      [12n, '12'],
    ]);
    await gives('boolean', [
      [true, 'true'],
      [false, 'false'],
      ['true', '! not_boolean'],
    ]);
    await gives('double precision', [
      [1.5, '1.5'],
      ['-2e3', '-2000'],
      [Number.POSITIVE_INFINITY, '! not_number'],
      ['', '! not_number'],
    ]);
    await gives('uuid', [
      ['F8C55012-6B3A-561F-9828-34E7CF0CBACF', 'f8c55012-6b3a-561f-9828-34e7cf0cbacf'],
      ['x', '! not_uuid'],
    ]);
    await gives('bytea', [
      [new Uint8Array([0, 255]), '\\x00ff'],
      ['text', '! not_bytes'],
    ]);
  });

  it('of any kind whatever is encoded as a tuple that can be walked, or refused; nothing throws', () => {
    const types = [
      'text',
      'bigint',
      'integer',
      'double precision',
      'numeric',
      'boolean',
      'timestamptz',
      'date',
      'jsonb',
      'uuid',
      'bytea',
    ] as const;
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom(...types),
            fc.anything({ withBigInt: true, withDate: true, withTypedArray: true, withNullPrototype: true }),
          ),
          { minLength: 1, maxLength: 8 },
        ),
        (fields) => {
          const { columns } = table('t', Object.fromEntries(fields.map(([type], index) => [`c${index}`, type])));
          const out = createTupleBuffer();
          const row = Object.fromEntries(fields.map(([, value], index) => [`c${index}`, value]));
          const violations = writeTuple(out, columns, { ...row, source_id: '7', offset: 42 });
          if (violations.length > 0) return out.used === 0;
          const tuples = out.bytes.subarray(0, out.used);
          expect(Array.from(tupleStarts(tuples, 1))).toEqual([0, out.used]);
          return bigintField(tuples, 0, 1) === 42;
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('a number that was read exactly', () => {
  const from = (literal: string): unknown => json(literal);

  it('goes into columns of numbers, texts and jsonb as it was written, or is refused', async () => {
    const whole = '9007199254740993';
    const long = '0.1234567890123456789';
    await gives('numeric', [
      [from(whole), whole],
      [from(long), long],
      [from('1e-400'), `0.${'0'.repeat(399)}1`],
      [from('-1e400'), `-1${'0'.repeat(400)}`],
      [from('1e2000'), '! out_of_range'],
      [from('1e999999999'), '! not_number'],
      [from('-0'), '0'],
    ]);
    await gives('bigint', [
      [from(whole), whole],
      [from('-9223372036854775808'), '-9223372036854775808'],
      [from('9223372036854775808'), '! out_of_range'],
      [from('9007199254740993.0'), '! not_integer'],
      [from(long), '! not_integer'],
      [from('1e400'), '! not_integer'],
    ]);
    await gives('integer', [[from(whole), '! out_of_range']]);
    await gives('text', [
      [from(whole), whole],
      [from(long), long],
      [from('1e400'), '1e400'],
      [from('-0'), '-0'],
    ]);
    await gives('double precision', [
      [from('-0'), '-0'],
      [from('9007199254740994'), '9.007199254740994e+15'],
      [from(whole), '! not_exact'],
      [from('0.10000000000000001'), '0.1'],
      [from('1e400'), '! not_number'],
      [from('1e-400'), '! not_exact'],
    ]);
    await gives('jsonb', [
      [from(`{"a":[${whole},${long},-1e3],"b":"${whole}"}`), `{"a": [${whole}, ${long}, -1000], "b": "${whole}"}`],
      [from('1e400'), `1${'0'.repeat(400)}`],
      [from('"\\ud800"'), '! json_text'],
      [from('{"a\\u0000":1}'), '! json_text'],
      [{ no: Number.NaN }, '! not_json'],
      [[Infinity], '! not_json'],
    ]);
    await gives('timestamptz', [[from(whole), '! not_instant']]);
    await gives('boolean', [[from('1e400'), '! not_boolean']]);
  });
});

describe('a tuple', () => {
  const { columns } = table('any', { a: 'text', b: 'bigint', c: 'timestamptz', d: 'bytea', e: 'jsonb' });
  const values = { a: 'text', b: 7n, c: new Date(0), d: Buffer.from('bytes'), e: { a: 1 } };
  const rows = [
    values,
    { source_id: 1, offset: 2, ...values },
    { a: '' },
    ...Object.keys(values).map((name) => ({ ...values, [name]: null })),
  ];
  const alone = (row: Readonly<Record<string, unknown>>): Buffer => {
    const out = createTupleBuffer();
    expect(writeTuple(out, columns, row)).toEqual([]);
    return out.bytes.subarray(0, out.used);
  };

  it('is the same wherever the buffer has to grow for it', () => {
    for (const row of rows) {
      const wanted = alone(row);
      for (let left = 0; left <= wanted.byteLength; left++) {
        const out = createTupleBuffer();
        const from = out.bytes.byteLength - left;
        out.bytes.fill(0xaa);
        out.used = from;
        expect(writeTuple(out, columns, row)).toEqual([]);
        expect(out.bytes.subarray(from, out.used).equals(wanted), `${left} bytes were left`).toBe(true);
        expect(out.bytes.subarray(0, from).every((byte) => byte === 0xaa)).toBe(true);
      }
    }
  });
});
