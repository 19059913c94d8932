// What lives here: mistakes as developers make them, each on a line that the test looks up.
// Invariant: thrown by real code of a file of its own, so that a place names this file.
// Apart from the test, which has to find the lines of this file and not its own.
import type { Pool } from 'pg';

interface Order {
  readonly customer?: { readonly name: string };
}
const nameOf = (order: Order): string => order.customer!.name; // TypeError
/** A value of a record, as far as this file knows. */
const value = (): string => Buffer.from('U21pdGg=', 'base64').toString();
const later = async (): Promise<void> => {
  await Promise.resolve();
  JSON.parse('{'); // SyntaxError
};

export const mistakes: Readonly<Record<string, (pool: Pool) => Promise<unknown>>> = {
  TypeError: async () => nameOf({}),
  SyntaxError: later,
  Error: async () => {
    throw new Error('Ann, 4111 1111 1111 1111\n    at secret (/home/ann/4111.ts:1:1)'); // Error
  },
  wrapped: async () => {
    try {
      return nameOf({});
    } catch (cause) {
      throw new Error('4111 1111 1111 1111', { cause }); // wrapped
    }
  },
  column: async (pool) => {
    await pool.query('select palced_at from mendflow.run'); // column
  },
  syntax: async (pool) => {
    await pool.query(`select 1 wher ${value()}`); // syntax
  },
  value: async (pool) => {
    await pool.query(`select ${value()} from mendflow.run`); // value
  },
};
