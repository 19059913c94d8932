// What lives here: the one judge of all loaders, real and broken: what is in the database against what was in the file.
// Invariant: it reads tables only, and says every violation as a sentence; no sentence means exactly once.
// Apart because the same judge has to convict the broken loaders.
import type { Db } from '../../src/store/db.ts';
import { balance } from '../../src/store/balance.ts';
import type { Expected } from './data-plane-source.ts';

/** Violations shown at most, of each kind. */
const SHOWN = 3;

/** Rows lost, doubled, invented or altered. */
export async function rowViolations(
  db: Db,
  relation: 'rows_checked' | 'rows_plain',
  truth: Expected,
): Promise<string[]> {
  const { rows } = await db.query<{ offset: string; id: string; note: string }>(
    `select "offset", id, note from ${relation}`,
  );
  const seen = new Map<number, number>();
  const invented: string[] = [];
  const altered: string[] = [];
  for (const row of rows) {
    const offset = Number(row.offset);
    const want = truth.rows.get(offset);
    seen.set(offset, (seen.get(offset) ?? 0) + 1);
    if (!want) invented.push(`offset ${offset} is there and should not be`);
    else if (String(want.id) !== row.id || want.note !== row.note) altered.push(`offset ${offset} was altered`);
  }
  const lost = [...truth.rows.keys()]
    .filter((offset) => !seen.has(offset))
    .map((offset) => `offset ${offset} was lost`);
  const twice = [...seen]
    .filter(([, times]) => times > 1)
    .map(([offset, times]) => `offset ${offset} is there ${times} times`);
  return [lost, twice, invented, altered].flatMap((kind) =>
    kind.length > SHOWN ? [...kind.slice(0, SHOWN), `and ${kind.length - SHOWN} more`] : kind,
  );
}

/** As above, and letters, bins, tiles, leases and line numbers of the real loader. */
export async function violations(db: Db, truth: Expected): Promise<string[]> {
  const found = await rowViolations(db, 'rows_checked', truth);
  const letters = await db.query<{ off: string; sample: boolean }>('select off, sample from mendflow.dead_letter');
  const offsets = letters.rows.map(({ off }) => Number(off));
  for (const offset of truth.letters)
    if (!offsets.includes(offset)) found.push(`the record at ${offset} has no letter`);
  for (const offset of offsets)
    if (!truth.letters.has(offset)) found.push(`the record at ${offset} is a letter and should not be`);
  if (letters.rows.some(({ sample }) => sample)) found.push('a letter is marked as a sample');
  const lines = await db.query<{ offset: string; line: string }>('select "offset", line_no as line from rows_checked');
  for (const { offset, line } of lines.rows)
    if (truth.rows.get(Number(offset))?.line !== Number(line)) found.push(`offset ${offset} says line ${line}`);
  const bins = await balance(db, 'chaos/2026-11-21');
  found.push(...bins.faults);
  const want = { loaded: truth.rows.size, quarantined: truth.letters.size, skipped: truth.blanks, duplicate: 0 };
  for (const [bin, count] of Object.entries(want))
    if (bins[bin as keyof typeof want] !== count)
      found.push(`${bin} is ${bins[bin as keyof typeof want]} instead of ${count}`);
  return found.slice(0, 20);
}
