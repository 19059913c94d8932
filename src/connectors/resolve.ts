// What lives here: from a host to its addresses, once for an operation, whatever the name server says in between.
// Invariant: a hung lookup ends for its caller at the deadline, and holds at most one thread for each host.
// Apart because getaddrinfo cannot be cancelled: how little harm a dead name server does is decided here.
import { lookup as getaddrinfo } from 'node:dns/promises';
import { isIP } from 'node:net';
import { untilAborted } from './abort.ts';

export interface Address {
  readonly address: string;
  readonly family: number;
}

/** As `dns.lookup` of Node with `all: true`. */
export type Lookup = (host: string) => Promise<readonly Address[]>;

const systemLookup: Lookup = (host) => getaddrinfo(host, { all: true });

/** Resolves hosts for one upstream. Rejects with what getaddrinfo says, or with the signal's reason. */
export function resolver(
  lookup: Lookup = systemLookup,
): (host: string, signal: AbortSignal) => Promise<readonly Address[]> {
  // getaddrinfo runs in a thread that cannot be called back. Callers join the lookup under way, so that a dead name server
  // costs the worker one thread for each host and not one for each call.
  const underWay = new Map<string, Promise<readonly Address[]>>();
  return async (host, signal) => {
    const bare = host.replace(/^\[|\]$/g, '');
    const family = isIP(bare);
    if (family !== 0) return [{ address: bare, family }];
    let asked = underWay.get(bare);
    if (!asked) {
      asked = lookup(bare).finally(() => underWay.delete(bare));
      underWay.set(bare, asked);
    }
    const found = await untilAborted(asked, signal);
    if (found.length > 0) return found;
    throw Object.assign(new Error('The name has no address.'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' });
  };
}

/** Which address serves each origin during one operation: set by its first connection, and kept to its end. */
export type Pins = Map<string, string>;
