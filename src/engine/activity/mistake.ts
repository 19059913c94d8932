// What lives here: what a developer has to see of a mistake of their own: file and line, and what the database says of a wrong statement.
// Invariant: places in code and names of things, never a value; so it may stand in a history, in a log and on a page.
// Apart from the guard, which only knows how a failure is named.
import { readFileSync } from 'node:fs';
import type { Failure } from '../../model/failure.ts';
import { sqlTextOf } from '../../model/sql-text.ts';
import { ownPlacesOf } from '../../flow/places.ts';

/** Said on purpose by whoever knows most: nothing is to be added. */
const isSaid = ({ rule }: Failure): boolean => rule === undefined || ['raised', 'type', 'nonRetryable'].includes(rule);

const isOurs = (failure: Failure): boolean =>
  !isSaid(failure) &&
  (failure.fault === 'code' ||
    ['unknown', 'pg_schema', 'pg_forbidden'].includes(failure.code) ||
    (failure.upstream === undefined && ['answer_unreadable', 'answer_cut'].includes(failure.code)));

const CAUSES_MAX = 5;

/** The failure with the place of the throw, where it is a mistake in the code of a stage. */
export function withPlace(failure: Failure, error: unknown): Failure {
  if (!isOurs(failure)) return failure;
  const chain = causesOf(error);
  const sql = chain.map((one) => sqlTextOf(one, sourcesOf(one))).find((told) => told !== undefined);
  const place = chain.map(ownPlaceOf).find((found) => found !== undefined);
  const said = sql && sql.text !== '' ? `: ${sql.text}` : '';
  const at = [
    ...(sql?.position === undefined ? [] : [`character ${sql.position} of the statement`]),
    ...(place === undefined ? [] : [place]),
  ];
  if (said === '' && at.length === 0) return failure;
  const text = `${failure.text.replace(/\.$/, '')}${said}${at.length === 0 ? '' : `, at ${at.join(', ')}`}.`;
  return { ...failure, text };
}

const ownPlaceOf = (error: unknown): string | undefined => ownPlacesOf(error)[0];

/** The files that a statement went through: a name that stands in one of them is no value of a record. */
function sourcesOf(error: unknown): string {
  const files = new Set(ownPlacesOf(error).map((place) => place.replace(/:\d+:\d+$/, '')));
  return [...files].map(readOr).join('\n');
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  let one = error;
  while (one !== undefined && one !== null && chain.length < CAUSES_MAX) {
    chain.push(one);
    one = (one as { cause?: unknown }).cause;
  }
  return chain;
}
