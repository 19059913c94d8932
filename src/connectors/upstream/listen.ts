// What lives here: the one connection by which a process hears of transitions, and the loop that gets it back.
// Invariant: copies are read again at each notification, every five seconds, and before the store counts as back; silence of the store is noticed, not waited for.
// Apart because notifications are lost while nobody listens, and that must be dealt with in one place.
import type pg from 'pg';
import { classify } from '../../model/classify.ts';
import { inUse, type UpstreamInUse } from '../../model/upstream-in-use.ts';
import type { Upstreams } from '../../model/upstream.ts';
import { countListeners, readCopies } from '../../store/breaker-calls.ts';
import { declareBreakers } from '../../store/breakers.ts';
import { connect, disconnect, sever } from '../../store/db.ts';
import { forgetUses, publishUses } from '../../store/upstream-use.ts';
import { isSet } from '../secret.ts';
import { type Cache, PATIENCE_MS, within } from './cache.ts';

/** By it workers count each other. */
const APPLICATION = 'mendflow-breakers';
const RELOAD_MS = 5_000;
const RECONNECT_MS = 500;
const CONNECT_MS = 3_000;
/** Twice a minute: who has not for a minute is taken for dead. */
const TELL_MS = 30_000;

export interface Listener {
  close(): Promise<void>;
}

interface State {
  client: pg.Client | undefined;
  closed: boolean;
  /** Ends the wait between two looks; a wake while there is none counts for the next. */
  wake: () => void;
  news: boolean;
  readonly dirty: Set<string>;
  draining: Promise<void> | undefined;
  /** When it was said last what this worker uses. */
  toldAt: number;
}

/**
 * Connects, declares, reads all; then goes on in the background until `close`.
 * A store that is away now is waited for in the background; anything else that is wrong with it fails at once.
 */
export async function listen(cache: Cache, databaseUrl: string, declared: Upstreams): Promise<Listener> {
  const state: State = {
    client: undefined,
    closed: false,
    wake: () => void (state.news = true),
    news: false,
    dirty: new Set(),
    draining: undefined,
    toldAt: -Infinity,
  };
  cache.check = () => state.wake();
  cache.refresh = async (keys) => {
    for (const key of keys) state.dirty.add(key);
    await within(drain(cache, state), PATIENCE_MS);
  };
  try {
    await begin(cache, state, databaseUrl, declared);
  } catch (error) {
    const failed = classify(error);
    if (failed.fault !== 'upstream') throw error;
  }
  const ended = goOn(cache, state, databaseUrl, declared);
  return {
    async close() {
      state.closed = true;
      state.wake();
      const { client } = state;
      state.client = undefined;
      if (client) {
        await within(
          forgetUses(client, cache.worker).catch(() => undefined), // A store that is away forgets it by itself.
          PATIENCE_MS,
        );
        await disconnect(client);
      }
      await ended;
    },
  };
}

/** One connection from nothing to copies of all rows. */
async function begin(cache: Cache, state: State, url: string, declared: Upstreams): Promise<void> {
  const opening = connect({ url, applicationName: APPLICATION });
  const client = await must(opening, CONNECT_MS, () => void opening.then(sever, () => undefined));
  try {
    client.on('notification', ({ payload }) => heard(cache, state, payload));
    client.once('end', () => {
      if (state.client !== client) return;
      state.client = undefined;
      state.wake();
    });
    await must(client.query('listen mendflow_breaker'), CONNECT_MS);
    await must(declareBreakers(client, declared), CONNECT_MS);
    await tellUses(cache, state, client);
    await look(cache, client);
    state.client = client;
  } catch (error) {
    sever(client);
    throw error;
  }
}

/** Says what this worker uses: at its start, and again so that it counts as alive. */
async function tellUses(cache: Cache, state: State, client: pg.Client): Promise<void> {
  if (cache.now() - state.toldAt < TELL_MS) return;
  const uses = [...cache.entries.values()].map(({ key, declared }) => [
    key,
    inUse(declared, (name) => isSet(cache.readSecret, name)),
  ]);
  await must(
    publishUses(client, cache.worker, Object.fromEntries(uses) as Record<string, UpstreamInUse>),
    PATIENCE_MS * 2,
  );
  state.toldAt = cache.now();
}

/** Reads everything anew; if that succeeds, the store is there. */
async function look(cache: Cache, client: pg.Client): Promise<void> {
  const copies = await must(
    readCopies(client, [...cache.entries.keys()], () => cache.now()),
    PATIENCE_MS * 2,
  );
  if (cache.away) cache.back(copies);
  else cache.take(copies);
  cache.workers = await must(countListeners(client, APPLICATION), PATIENCE_MS * 2);
}

async function goOn(cache: Cache, state: State, url: string, declared: Upstreams): Promise<void> {
  while (!state.closed) {
    const client = state.client;
    try {
      if (client === undefined) await begin(cache, state, url, declared);
      else {
        await tellUses(cache, state, client);
        await look(cache, client);
      }
      await pause(state, cache.away ? RECONNECT_MS : RELOAD_MS);
    } catch {
      // Whatever it was, the store cannot be relied on; what is wrong with it is for the statements of others to say.
      state.client = undefined;
      if (client) sever(client);
      else {
        cache.leave();
        await pause(state, RECONNECT_MS);
      }
    }
  }
  // It may just have come up.
  if (state.client) await disconnect(state.client);
}

/** Sleeps, but wakes for news: a lost connection, a statement that got no answer, the end. */
async function pause(state: State, timeMs: number): Promise<void> {
  const { wake } = state;
  let timer: NodeJS.Timeout | undefined;
  if (!state.closed && !state.news)
    await new Promise<void>((resolve) => {
      state.wake = resolve;
      timer = setTimeout(resolve, timeMs).unref();
    });
  clearTimeout(timer);
  state.wake = wake;
  state.news = false;
}

/** Anybody who may connect may notify, so whatever is not a key of ours is nothing. */
function heard(cache: Cache, state: State, payload = ''): void {
  const [, key] = /"k"\s*:\s*"([^"\\]+)"/.exec(payload) ?? [];
  if (key === undefined || !cache.entries.has(key)) return;
  state.dirty.add(key);
  void drain(cache, state);
}

/** Reads what is out of date, one statement at a time, until nothing is. Never rejects: what it misses, the next look brings. */
function drain(cache: Cache, state: State): Promise<void> {
  const { client } = state;
  if (client === undefined) return Promise.resolve();
  state.draining ??= (async () => {
    try {
      while (state.dirty.size > 0) {
        const keys = [...state.dirty];
        state.dirty.clear();
        cache.take(
          await must(
            readCopies(client, keys, () => cache.now()),
            PATIENCE_MS,
          ),
        );
      }
    } catch {
      state.wake();
    } finally {
      state.draining = undefined;
    }
  })();
  return state.draining;
}

/** Fails if it takes longer. */
async function must<T>(work: Promise<T>, timeMs: number, otherwise: () => void = () => undefined): Promise<T> {
  const got = await within(
    work.then((value) => ({ value })),
    timeMs,
  );
  if (got) return got.value;
  otherwise();
  throw Object.assign(new Error('The control store did not answer in time.'), { code: 'ETIMEDOUT' });
}
