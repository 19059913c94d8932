// What lives here: JSON whose numbers keep every digit, read, written, and traced back to its text.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isExactNumber, isNumeric, JSON_DEPTH_MAX, nearest, readJson, writeJson } from '../../src/model/exact-json.ts';
import { readDocument, sourceOf } from '../../src/model/json-source.ts';

/** Literals as upstreams write them, and what reads them: `n` number, `b` bigint, `x` ExactNumber. */
const literals: readonly (readonly [string, 'n' | 'b' | 'x'])[] = [
  ['0', 'n'],
  ['-0', 'n'],
  ['-0.0', 'n'],
  ['0.1', 'n'],
  ['1.10', 'n'],
  ['-1e3', 'n'],
  ['1E+2', 'n'],
  ['9007199254740991', 'n'],
  ['-9007199254740991', 'n'],
  ['0.30000000000000004', 'n'],
  ['1.7976931348623157e308', 'n'],
  ['5e-324', 'n'],
  ['6.02214076e23', 'n'],
  ['1e20', 'n'],
  ['0.000000000000000000000001', 'n'],
  ['9007199254740992', 'b'],
  ['9007199254740993', 'b'],
  ['-9007199254740993', 'b'],
  ['1234567890123456789', 'b'],
  ['18446744073709551615', 'b'],
  ['100000000000000000000', 'b'],
  [`1${'0'.repeat(400)}`, 'b'],
  ['0.1234567890123456789', 'x'],
  ['0.10000000000000001', 'x'],
  ['12345678901234567.5', 'x'],
  ['12345678901234567890.0', 'x'],
  ['3.14159265358979323846264338327950288', 'x'],
  ['1e400', 'x'],
  ['-1e400', 'x'],
  ['1e-400', 'x'],
  ['1e999999999', 'x'],
  ['4.9e-324000', 'x'],
  ['7'.repeat(5_000), 'x'],
];

describe('a number of JSON', () => {
  it.each(literals)('%s keeps its digits wherever it stands', (literal, kind) => {
    for (const [text, of] of [
      [literal, (value: unknown) => value],
      [`[1,${literal} ,"${literal}"]`, (value: unknown) => (value as unknown[])[1]],
      [
        `{"a\\"9":{"b":[{"c": ${literal}}]}}`,
        (value: unknown) => (value as Record<string, never>)['a"9']!['b']![0]!['c'],
      ],
      [`\uFEFF {"mf0#1234567890123456789":"mf0#1", "n":${literal}}`, (value: unknown) => (value as { n: unknown }).n],
    ] as const) {
      const value = of(readJson(text));
      expect(typeof value, text).toBe({ n: 'number', b: 'bigint', x: 'object' }[kind]);
      expect(isExactNumber(value)).toBe(kind === 'x');
      expect(isNumeric(value)).toBe(true);
      if (kind !== 'n') expect(`${value as bigint}`).toBe(literal);
      // Written and read again it is the same.
      expect(readJson(writeJson({ value })!)).toEqual({ value });
      if (kind !== 'n') expect(writeJson([value])).toBe(`[${literal}]`);
    }
  });

  it('keeps the sign of zero through writing', () => {
    expect(writeJson({ a: -0, b: [0, -0] })).toBe('{"a":-0,"b":[0,-0]}');
    expect(Object.is((readJson(writeJson([-0])!) as number[])[0], -0)).toBe(true);
  });

  it('is refused by a schema that wants a double, and taken where that is said', () => {
    const value = readJson('{"big":9007199254740993,"long":0.1234567890123456789,"plain":1.5}');
    expect(z.object({ plain: z.number() }).safeParse(value).success).toBe(true);
    expect(z.object({ big: z.number() }).safeParse(value).success).toBe(false);
    expect(z.object({ long: z.number() }).safeParse(value).success).toBe(false);
    expect(z.object({ big: z.bigint(), long: z.custom(isNumeric) }).parse(value)).toEqual({
      big: 9_007_199_254_740_993n,
      long: (value as { long: unknown }).long,
    });
    expect(z.object({ long: z.preprocess(nearest, z.number()) }).parse(value)).toEqual({ long: 0.12345678901234568 });
  });

  it('counts as a double in arithmetic and as its digits in a text', () => {
    const { long } = readJson('{"long":2.00000000000000000001}') as { long: never };
    expect(Number(long)).toBe(2);
    expect(long * 2).toBe(4);
    expect(String(long)).toBe('2.00000000000000000001');
    expect(JSON.stringify({ long })).toBe('{"long":"2.00000000000000000001"}');
  });

  it('has the value of its text, whatever the text', () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,24})?([eE][+-]?\d{1,3})?$/);
    fc.assert(
      fc.property(fc.array(fc.oneof(digits, fc.json())), (parts) => {
        const text = `[${parts.join(',')}]`;
        const value = readJson(text) as unknown[];
        expect(readJson(writeJson(value)!)).toEqual(value);
        // What native JSON reads is the nearest to what we read.
        expect(nearestOf(value)).toEqual(JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });
});

/** All numbers as doubles. */
const nearestOf = (value: unknown): unknown => {
  const one = nearest(value);
  if (Array.isArray(one)) return one.map(nearestOf);
  if (typeof one !== 'object' || one === null) return one;
  return Object.fromEntries(Object.entries(one).map(([key, member]) => [key, nearestOf(member)]));
};

describe('JSON that others make', () => {
  it('takes the last of equal keys, as Postgres does', () =>
    expect(readJson('{"id":9007199254740993,"id":9007199254740995}')).toEqual({ id: 9_007_199_254_740_995n }));

  it('takes __proto__ and constructor for keys like any other', () => {
    const value = readJson('{"__proto__":{"admin":9007199254740993},"constructor":9007199254740993}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect('admin' in value).toBe(false);
    expect(writeJson(value)).toBe('{"__proto__":{"admin":9007199254740993},"constructor":9007199254740993}');
    const bare = readJson('{"__proto__":9007199254740993}') as object;
    expect(Object.getPrototypeOf(bare)).toBe(Object.prototype);
    expect(writeJson(bare)).toBe('{"__proto__":9007199254740993}');
  });

  it('goes so deep and no deeper', () => {
    const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
    expect(() => readJson(nested(JSON_DEPTH_MAX))).not.toThrow();
    expect(() => readJson(nested(JSON_DEPTH_MAX + 2))).toThrow(/deeper than 500/);
    expect(() => readJson(`${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`)).toThrow(/deeper than 500/);
    expect(() => readJson(nested(JSON_DEPTH_MAX).replace('[]', '[9007199254740993]'))).not.toThrow();
  });

  it('keeps halves of surrogate pairs, and takes one byte order mark', () => {
    expect(readJson('"\\ud800 9007199254740993"')).toBe('\ud800 9007199254740993');
    expect(readJson('\uFEFF[1]')).toEqual([1]);
    expect(() => readJson('\uFEFF\uFEFF[1]')).toThrow(SyntaxError);
  });

  it.each([
    '',
    '{',
    '{"a":01}',
    '[1,]',
    "{'a':1}",
    'NaN',
    '[Infinity]',
    '1.',
    '.5',
    '+1',
    '0x10',
    '[1]x',
    '9007199254740993x',
  ])('refuses %j', (text) => expect(() => readJson(text)).toThrow(SyntaxError));

  it('writes no number that is none', () => {
    for (const value of [Number.NaN, [Infinity], { a: { b: -Infinity } }])
      expect(() => writeJson(value)).toThrow(/NaN/);
    const round: { self?: unknown } = {};
    round.self = round;
    expect(() => writeJson(round)).toThrow(/circular/);
    expect(writeJson({ when: new Date(0), not: undefined, n: 1n })).toBe('{"when":"1970-01-01T00:00:00.000Z","n":1}');
    expect(writeJson(undefined)).toBe(undefined);
  });

  it('mistakes no text of a value for a number of ours', () =>
    expect(writeJson({ a: 'mf0#12', b: 12n, c: '"mf1#13"' })).toBe('{"a":"mf0#12","b":12,"c":"\\"mf1#13\\""}'));
});

describe('the text of a record', () => {
  const text = `{ "next":null,\n "items" : [ {"id": 1.0e3, "s":"\\u00e9 ]}\\" {"} ,{"id":9007199254740993,"id":2}, [ 1 ,2 ],\n  {"deep":[{"x":1}],\n "y" : 2 } , 7 ] }`;

  it('is what the document says', () => {
    const value = readDocument(text) as { items: unknown[] };
    expect(value.items.map(sourceOf)).toEqual([
      '{"id": 1.0e3, "s":"\\u00e9 ]}\\" {"}',
      '{"id":9007199254740993,"id":2}',
      '[ 1 ,2 ]',
      '{"deep":[{"x":1}],  "y" : 2 }',
      undefined,
    ]);
    expect(sourceOf(value)).toBe(text.replaceAll('\n', ' '));
  });

  it('is none of what was changed, was made, or lies within another', () => {
    const { items } = readDocument(text) as { items: Record<string, never>[] };
    items[0]!['id'] = 5 as never;
    expect(sourceOf(items[0])).toBe(undefined);
    expect(sourceOf({ ...items[1] })).toBe(undefined);
    expect(sourceOf(items[3]!['deep']![0])).toBe(undefined);
  });

  it('is never that of another record, whatever the document', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const visit = (value: unknown): void => {
          const source = sourceOf(value);
          if (source !== undefined) expect(readJson(source)).toEqual(value);
          if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit);
        };
        visit(readDocument(json));
      }),
    );
  });
});
