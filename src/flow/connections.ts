// What lives here: connections that flows of one stage use one after the other, so that many small sources do not each open their own.
// Invariant: a connection has the name of its lease before it works for it, so a take-over ends it like any other; only one that was left between transactions is kept.
// Apart because a session knows one lease, and these outlive it.
import type pg from 'pg';
import { connect, disconnect } from '../store/db.ts';
import type { Sink } from './sink.ts';

/** Connections by the name under which a take-over looks for them. */
export interface Connections {
  open(applicationName: string): Promise<pg.Client>;
  /** `clean`: it is between transactions and has nothing of its own, such as a temporary table. */
  done(client: pg.Client, clean: boolean): Promise<void>;
}

/** One for each use, as a flow has them that is alone. */
export const ownConnections = ({ pool }: Sink): Connections => ({
  open: (applicationName) => connect({ url: pool, applicationName }),
  done: disconnect,
});

/** The sink, with connections that are kept for the next flow. Whoever asks for it closes it; then nothing stays open. */
export function keepingConnections(sink: Sink): { readonly sink: Sink; close(): Promise<void> } {
  const own = ownConnections(sink);
  const kept: pg.Client[] = [];
  const connections: Connections = {
    async open(applicationName) {
      for (let client = kept.pop(); client; client = kept.pop()) {
        if (await isNamed(client, applicationName)) return client;
        await disconnect(client);
      }
      return await own.open(applicationName);
    },
    async done(client, clean) {
      if (clean) kept.push(client);
      else await disconnect(client);
    },
  };
  return {
    sink: { ...sink, connections },
    close: async () => void (await Promise.all(kept.splice(0).map(disconnect))),
  };
}

/** False where it was ended while it was idle, such as by a take-over of the lease that it served last. */
const isNamed = (client: pg.Client, applicationName: string): Promise<boolean> =>
  client.query("select set_config('application_name', $1, false)", [applicationName]).then(
    () => true,
    () => false,
  );
