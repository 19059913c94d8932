// What lives here: for each rule one fact that it is about, as an error would state it, and the line of table.tsv that says what it means.
// Invariant: table.tsv changes only on purpose: who changes a rule changes a line there, and a reviewer sees both.
// Apart because the file and the test that reads it need the same way from a line to an error.
import { classifierOf, classify } from '../../src/model/classify.ts';
import { ruleTables, type RuleTables } from '../../src/model/rules/index.ts';
import type { Rule } from '../../src/model/rules/rule.ts';

export interface Fact {
  readonly table: string;
  /** Fields of the error. */
  readonly error: Readonly<Record<string, unknown>>;
}

/** What makes a circumstance of a rule true. */
const samples: readonly string[] = ['connect', 'bind', 'spawn x', 'queryA', 'getaddrinfo'];
const messages: readonly string[] = [
  'Stream closed with error code NGHTTP2_REFUSED_STREAM',
  'canceling statement due to user request',
  'cached plan must not change result type',
  'Client network socket disconnected before secure TLS connection was established',
];

function factOf(table: string, { on, in: within, says, asks }: Rule): Fact {
  const value = on.replace('*', 'SOMETHING');
  if (table === 'name') return { table, error: { name: value } };
  if (table === 'timeout') return { table, error: { timeoutType: value } };
  if (table === 'http')
    return {
      table,
      error: { status: Number(on.replace('xx', '99')), ...(asks ? { headers: { 'retry-after': '9' } } : {}) },
    };
  const state = on.length === 2 ? `${on}ZZZ` : value;
  return {
    table,
    error: {
      code: table === 'sql' ? state : value,
      ...(within ? { syscall: samples.find((sample) => within.test(sample)) } : {}),
      ...(says ? { message: messages.find((sample) => says.test(sample)) } : {}),
    },
  };
}

const words: readonly string[] = [
  'Connection terminated due to connection timeout',
  'Connection terminated unexpectedly',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Query read timeout',
  'Cannot use a pool after calling end on the pool',
  'The server does not support SSL connections',
  'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
  'Client network socket disconnected before secure TLS connection was established',
  'certificate has expired',
  'redirect count exceeded',
  'bad port',
  'Unexpected end of JSON input',
  'Unexpected token < in JSON at position 0',
  'fetch failed',
  'terminated',
  'unexpected end of file',
  'connect ECONNREFUSED 127.0.0.1:5432',
  'ENOSPC: no space left on device, write',
  'nothing that anybody knows',
];

/** A fact for each rule, and the messages. */
export const factsOf = (tables: RuleTables = ruleTables): Fact[] => [
  ...Object.entries(tables).flatMap(([table, rules]) =>
    table === 'words' ? [] : (rules as readonly Rule[]).map((rule) => factOf(table, rule)),
  ),
  ...words.map((message) => ({
    table: 'words',
    error: { message, ...(message.startsWith('Unexpected') ? { name: 'SyntaxError' } : {}) },
  })),
];

type Classify = ReturnType<typeof classifierOf>;
const toldOf = (error: Fact['error'], by: Classify): string => {
  const { code, class: cls, fault, commit } = by(error);
  return [code, cls, fault, commit].join('\t');
};

export const lineOf = ({ table, error }: Fact): string =>
  [table, JSON.stringify(error), toldOf(error, classify)].join('\t');

/** Whether the line is true of this classifier. */
export function holds(line: string, by: Classify = classify): boolean {
  const [, error = '{}', ...told] = line.split('\t');
  return toldOf(JSON.parse(error) as Fact['error'], by) === told.join('\t');
}
