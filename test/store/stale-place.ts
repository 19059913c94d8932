// What lives here: the run that the test of stale writers is about: what the store holds of it, and how a stage writes to it.
// Invariant: reads and writes as the product does; nothing here knows what is late.
// Apart from the world, which knows what should be there.
import type { Pool } from 'pg';
import { commit, connect, disconnect } from '../../src/store/db.ts';
import { fence, type Lease, takeLease } from '../../src/store/lease.ts';
import { insertChunk, uncovered } from '../../src/store/ledger.ts';
import type { StageAt } from '../../src/store/runs.ts';
import { writeSlice } from '../../src/store/plans.ts';

export const STAGE = 'load';
/** Bytes of the one source, and of a chunk. */
export const SLICE = 30;
export const STEP = 10;

export interface Place {
  readonly pool: Pool;
  readonly url: string;
  readonly key: string;
  readonly sourceId: string;
}

/** What is seen of the run: the model's, and the store's. */
export interface Seen {
  readonly run: { readonly generation: number; readonly state: string; readonly openedBy: string } | undefined;
  readonly parks: readonly string[];
  readonly stage: string | undefined;
}

export async function seenOf({ pool, key }: Place): Promise<Seen> {
  const runs = await pool.query<NonNullable<Seen['run']>>(
    'select generation, state, workflow_run as "openedBy" from mendflow.run where key = $1',
    [key],
  );
  const run = runs.rows[0];
  const parks = await pool.query<{ token: string }>(
    'select token from mendflow.parked_run where run_key = $1 order by token',
    [key],
  );
  const stage = await pool.query<{ state: string }>(
    'select state from mendflow.stage_run where run_key = $1 and generation = $2 and stage = $3',
    [key, run?.generation ?? 0, STAGE],
  );
  return { run, parks: parks.rows.map(({ token }) => token), stage: stage.rows[0]?.state };
}

/** Everything the store holds about the run, but for when a park was looked at. */
export async function wholeOf({ pool, key }: Place): Promise<unknown> {
  const all: Record<string, unknown> = {};
  for (const table of ['run', 'stage_run', 'attempt', 'parked_run', 'lease', 'slice', 'chunk']) {
    const { rows } = await pool.query<{ row: unknown }>(
      `select to_jsonb(t) - 'checked_at' as row from mendflow.${table} t where ${table === 'run' ? 'key' : 'run_key'} = $1 order by 1`,
      [key],
    );
    all[table] = rows.map(({ row }) => row);
  }
  return all;
}

/** Takes plan and lease, then does what is done under it. */
export async function leased(place: Place, stage: StageAt, body: (lease: Lease) => Promise<void>): Promise<void> {
  const client = await connect({ url: place.url, applicationName: 'taker' });
  try {
    await writeSlice(client, { ...stage, sourceId: place.sourceId }, { from: 0, to: SLICE, sealed: true });
    await body(await takeLease(client, { ...stage, lanes: 1, holder: 'worker' }));
  } finally {
    await disconnect(client);
  }
}

/** The next chunk, as a flow commits it: behind the fence. */
export async function commitNext(place: Place, { generation }: StageAt, lease: Lease): Promise<void> {
  const key = { runKey: place.key, generation, stage: STAGE, sourceId: place.sourceId };
  const client = await connect({ url: place.url, applicationName: lease.applicationName });
  try {
    const [left] = await uncovered(client, key, { from: 0, to: SLICE });
    if (!left) return;
    await client.query('begin');
    const sha = Buffer.alloc(32);
    const bins = { read: 1, loaded: 1, duplicate: 0, quarantined: 0, skipped: 0, rowsOut: 1 };
    const row = { from: left.from, to: left.from + STEP, epoch: lease.epoch, firstLine: 1, ...bins };
    await insertChunk(client, key, { ...row, rawSha256: sha, rowsSha256: sha });
    await fence(client, lease, 0);
    await commit(client);
  } finally {
    await disconnect(client);
  }
}
