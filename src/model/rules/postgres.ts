// What lives here: what a SQLSTATE means for whoever sent the statement.
// Invariant: five signs decide before their class of two; every state of the server's own list has a rule or is listed as unknown.
// Apart because the list is the server's, and a test compares it with the list that the server brings along.
import { type Rule, rules } from './rule.ts';

export const sqlRules: readonly Rule[] = [
  // Ours: a function of the ledger refuses a writer that was replaced.
  ...rules('fenced', 'MF001'),
  // The connection
  ...rules('pg_unreachable', '08001'),
  ...rules('pg_connection_lost', '08 57P01 57P02'),
  ...rules('pg_connection_lost', '57P05 26', { commit: 'rolled-back' }),
  ...rules('pg_commit_unknown', '08007 40003'),
  ...rules('pg_auth', '08004 28 3D 57P04'),
  // One right on one thing, which says nothing about the login that everybody shares.
  ...rules('pg_forbidden', '42501'),
  ...rules('pg_starting', '57P03'),
  ...rules('pg_readonly', '25006'),
  // The transaction
  ...rules('pg_conflict', '40 55P03 55006 72000'),
  ...rules('pg_timeout', '25P03 25P04 57014', { commit: 'rolled-back' }),
  ...rules('pg_cancelled', '57014', { says: /user request/ }),
  ...rules('pg_cancelled', '57000'),
  // What the server lacks
  ...rules('pg_resources', '53'),
  ...rules('pg_io', '58'),
  ...rules('pg_corrupt', 'XX001 XX002'),
  // One record
  ...rules('record_refused', '22 23 44 40002'),
  ...rules('record_early', '23503'),
  // What is declared does not fit the tables
  ...rules('pg_schema', '42P01 42703 42704 42804 42883 42P10 3F'),
  // A plan of before does not fit the table of now: the next connection makes another.
  ...rules('pg_connection_lost', '0A000', { says: /cached plan must not change/, commit: 'rolled-back' }),
  // Only the first error of a transaction says what is wrong; this one says that there was one.
  ...rules('pg_statement', '25P02', { weak: true }),
  // The statement itself; 21 is the same key twice in one upsert, which is for the sender to avoid.
  ...rules(
    'pg_statement',
    '03 09 0A 0B 0F 0L 0P 0Z 10 20 21 24 25 27 2B 2D 2F 34 38 39 3B 42 54 55 F0 58P03 P0002 P0003 P0004',
  ),
];

/** No failures (00, 01, 02), another server's (HV), a text of the schema's author (P0), or a fault inside of the server that says no more (XX000). */
export const sqlStatesUnknown: readonly string[] = ['00', '01', '02', 'HV', 'P0000', 'P0001', 'XX000'];
