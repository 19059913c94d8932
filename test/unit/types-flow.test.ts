// What is promised here: mistakes in a flow do not compile: steps that do not follow from each other, columns that the table does not have.
// Each `@ts-expect-error` fails the type check if its mistake ever compiles.
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { flow, flowToDataset, json, parse, type Step, table, transform, validate } from 'mendflow/flow';
import { memorySource } from '../flow/memory.ts';

const from = memorySource('');
const order = z.object({
  id: z.string(),
  cents: z.number().int(),
  placedAt: z.iso.datetime(),
  note: z.string().optional(),
});
type Order = z.infer<typeof order>;
const orders = table('orders', { id: 'text', cents: 'bigint', placed_at: 'timestamptz', data_date: 'date' });
const rowOf = ({ id, cents, placedAt }: Order) => ({ id, cents, placed_at: placedAt });

const right = {
  'a chain from text to rows': () =>
    flow({ from, steps: [parse(json), validate(order), transform(rowOf)], into: orders }),
  'a value that may be anything': () => flow({ from, steps: [parse(json)], into: orders }),
  'a row that leaves columns out': () => flow({ from, steps: [parse(() => ({ id: 'a' }))], into: orders }),
  'a row that names what the flow fills, too': () =>
    flow({ from, steps: [parse(() => ({ id: 'a', line_no: 1, generation: 1 }))], into: orders }),
  'rows of two shapes': () =>
    flow({
      from,
      steps: [
        parse(json),
        transform((one: Order) => (one.cents > 0 ? { id: one.id, cents: one.cents } : { id: one.id })),
      ],
      into: orders,
    }),
  'steps made elsewhere': (steps: Step[]) => flow({ from, steps, into: orders }),
  'a wider value than a step needs': () =>
    flow({ from, steps: [validate(order), transform(({ id }: { id: string }) => ({ id }))], into: orders }),
  'a record that is left out': () =>
    flow({
      from,
      steps: [validate(order), transform((one: Order) => (one.cents === 0 ? null : rowOf(one)))],
      into: orders,
    }),
  'a dataset': () => flowToDataset({ from, steps: [parse(json), validate(order)], into: { schema: 'order/1' } }),
};

const mistakes = {
  'a step that takes what the one before it does not give': () =>
    // @ts-expect-error
    flow({ from, steps: [parse((text: string) => text.length), transform(rowOf)], into: orders }),

  'a field that the schema does not have': () =>
    flow({
      from,
      // @ts-expect-error
      steps: [validate(order), transform((one: { placed: string }) => ({ id: one.placed }))],
      into: orders,
    }),

  'a field that may be missing taken for one that is there': () =>
    // @ts-expect-error
    flow({ from, steps: [validate(order), transform((one: { note: string }) => ({ id: one.note }))], into: orders }),

  'two steps in the wrong order': () =>
    // @ts-expect-error
    flow({ from, steps: [parse(json), transform(rowOf), transform((one: Order) => rowOf(one))], into: orders }),

  'a wrong chain into a dataset': () =>
    // @ts-expect-error
    flowToDataset({ from, steps: [parse((text: string) => text.length), transform(rowOf)], into: { schema: 'x/1' } }),

  'a misspelt column': () =>
    flow({
      from,
      steps: [validate(order), transform((one: Order) => ({ ...rowOf(one), palced_at: one.placedAt }))],
      // @ts-expect-error
      into: orders,
    }),

  'a column in one of several shapes of rows': () =>
    flow({
      from,
      steps: [validate(order), transform((one: Order) => (one.cents > 0 ? rowOf(one) : { id: one.id, cent: 0 }))],
      // @ts-expect-error
      into: orders,
    }),

  'what a schema gives into a table of other columns': () =>
    // @ts-expect-error
    flow({ from, steps: [parse(json), validate(order)], into: orders }),

  'a type of column that there is not': () =>
    // @ts-expect-error
    table('orders', { id: 'string' }),

  'a key that is no column': () =>
    // @ts-expect-error
    table('orders', { id: 'text', data_date: 'date' }, { key: ['ID'] }),

  'a date column that is no column': () =>
    // @ts-expect-error
    table('orders', { id: 'text', data_date: 'date' }, { key: ['id'], dateColumn: 'date' }),

  'a version that is no column': () =>
    // @ts-expect-error
    table('orders', { id: 'text', revision: 'bigint' }, { key: ['id'], version: ['version'] }),
};

describe('a flow', () => {
  it(`compiles where it is right: ${Object.keys(right).join(', ')}`, () => {
    const steps = [parse(json), validate(order)] as const;
    expectTypeOf(steps[1]).toExtend<Step<unknown, Order>>();
    expect(Object.values(right).every((one) => typeof one === 'function')).toBe(true);
  });

  it(`does not compile with any of ${Object.keys(mistakes).length} mistakes`, () => {
    expect(Object.values(mistakes).every((mistake) => typeof mistake === 'function')).toBe(true);
  });
});
