// What lives here: what a flow needs to know of the place its values go to, be it a table or a dataset.
// Invariant: the flow, its chunks and its ledger are the same for both; only loading, beginning and ending differ.
// Apart so that neither kind of place is known to the loop.
import type pg from 'pg';
import { wasReadWhole, writeLost } from '../store/ledger.ts';
import { preflight } from '../store/preflight.ts';
import type { FlowContext } from './context.ts';
import type { TupleBuffer } from './encode.ts';
import { acceptedFewer, codesInWords, isFewerOfNew, rowsFewer } from './fewer.ts';
import { lettersByCode } from '../store/letters.ts';
import { notesOfKind } from '../store/notes.ts';
import type { OpenSource } from './flow.ts';
import { directLoader, type Loader, overlapLoader } from './loader.ts';
import { fenced, type Session } from './session.ts';
import type { Target } from './table.ts';
import type { Violation } from './types.ts';
import { keyLoader, removeLeftOver } from './upsert.ts';

export interface Into {
  /** The table, where it is one. */
  readonly target?: Target;
  /** Records go on to a later stage, so they are in no bin yet. */
  readonly passes: boolean;
  /** Parallel connections at most. */
  readonly lanesMax?: number;
  /** `overlaps`: rows of the ranges may be there already. */
  loader(overlaps: boolean): Loader;
  /** Writes a value behind the others of its chunk; without it, as a tuple of the target. */
  readonly encode?: (out: TupleBuffer, value: unknown) => Violation[];
  /** With the control connection, before the lease is taken. */
  readonly before?: (control: pg.Client, warn: (text: string) => void) => Promise<void>;
  /** Under the lease, before the ledger is read. */
  readonly begin?: (session: Session, source: OpenSource, ctx: FlowContext) => Promise<void>;
  /** Under the lease, when the ledger covers everything. May be called again by a later attempt. */
  readonly end?: (session: Session, source: OpenSource, ctx: FlowContext) => Promise<void>;
}

/** A table of the sink. */
export function intoTable(target: Target): Into {
  const { byKey } = target;
  return {
    target,
    passes: false,
    loader: (overlaps) =>
      byKey ? keyLoader(target, byKey, overlaps) : overlaps ? overlapLoader(target) : directLoader(target),
    async before(control, warn) {
      for (const warning of await preflight(control, target)) warn(warning);
    },
    end: (session, source, ctx) =>
      byKey ? removeLeftOver(session, source, target, byKey, ctx) : removeEarlier(session, source, target, ctx),
  };
}

/**
 * Rows by position of records that were made anew as others: left there, they would be the same records twice. Where less than all was read this
 * time, or far fewer records came, the rows of before may be the better ones, so a person says which: `accept-loss` takes what is read now.
 */
async function removeEarlier(session: Session, source: OpenSource, target: Target, ctx: FlowContext): Promise<void> {
  const { earlier = [], sourceId } = source;
  if (earlier.length === 0) return;
  const key = { runKey: ctx.runKey, generation: ctx.generation, stage: ctx.stage, sourceId };
  await fenced(session, async (client) => {
    const removed = await client.query(`delete from ${target.sql} where source_id = any ($1::bigint[])`, [earlier]);
    const before = removed.rowCount ?? 0;
    if (before === 0) return;
    const { rows } = await client.query<{ now: number }>(
      `select count(*)::int as now from ${target.sql} where source_id = $1`,
      [sourceId],
    );
    const after = rows[0]!.now;
    const { acceptLoss } = ctx;
    if (acceptLoss)
      return after < before ? writeLost(client, key, before - after, acceptedFewer(acceptLoss)) : undefined;
    const isWhole = await wasReadWhole(client, ctx);
    if (isWhole && !isFewerOfNew(before, after)) return;
    const bad = await lettersByCode(client, key);
    const unread = `, and this time not all of them could be read${codesInWords(bad)}`;
    const why = `they are of records that were made anew since${isWhole ? '' : unread}; both are there now`;
    const [mistake] = await notesOfKind(client, ctx.runKey, 'mistake', ctx.stage);
    const about = { table: target.name, before, after, why, letters: bad.length > 0 };
    throw rowsFewer(key, { ...about, ...(mistake === undefined ? {} : { mistake }) });
  });
}
