// What lives here: the connections of one flow while it holds its lease.
// Invariant: no lane exists without the lease, and none outlives its flow.
// Apart because taking the lease again means closing all of this and opening it anew.
import type pg from 'pg';
import { commit, rollback } from '../store/db.ts';
import { controlName, fence, type Lease, takeLease } from '../store/lease.ts';
import type { Lane } from './chunk.ts';
import { ownConnections } from './connections.ts';
import type { FlowContext } from './context.ts';
import type { Loader } from './loader.ts';
import type { Sink } from './sink.ts';

export interface Session {
  readonly lease: Lease;
  /** For reading the ledger; never writes rows. */
  readonly control: pg.Client;
  readonly lanes: readonly Lane[];
  /** `clean`: nothing failed, so no transaction is open. */
  close(clean: boolean): Promise<void>;
}

export interface SessionOptions {
  readonly sink: Sink;
  readonly ctx: FlowContext;
  readonly lanes: number;
  readonly loader?: Loader;
  /** With the control connection, before the lease is taken: what has to be there first. */
  readonly before: (control: pg.Client) => Promise<void>;
}

/** Takes the lease and opens its lanes. Whatever fails, nothing stays open. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { sink, ctx, loader } = options;
  const connections = sink.connections ?? ownConnections(sink);
  const open: pg.Client[] = [];
  const close = async (clean: boolean): Promise<void> => {
    await Promise.all(open.map((client) => connections.done(client, clean && !loader?.prepare)));
  };
  try {
    const applicationName = controlName(ctx.runKey, ctx.stage);
    const control = await connections.open(applicationName);
    open.push(control);
    await options.before(control);
    const { runKey, stage, generation, execution } = ctx;
    const wish = { runKey, stage, generation, execution, lanes: options.lanes };
    const lease = await takeLease(control, { ...wish, attemptAt: ctx.attemptAt, holder: ctx.holder });
    const lanes: Lane[] = [];
    for (let no = 0; no < options.lanes; no++) {
      const client = await connections.open(lease.applicationName);
      open.push(client);
      await loader?.prepare?.(client);
      lanes.push({ no, client });
    }
    return { lease, control, lanes, close };
  } catch (error) {
    await close(false);
    throw error;
  }
}

/** Runs the body in a transaction of the first lane that ends with the fence: it commits only if the lease still holds. */
export async function fenced<T>(session: Session, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const { client, no } = session.lanes[0]!;
  await client.query('begin isolation level read committed');
  let result: T;
  try {
    result = await body(client);
    await fence(client, session.lease, no);
  } catch (error) {
    await rollback(client);
    throw error;
  }
  await commit(client);
  return result;
}
