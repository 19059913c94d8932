// What lives here: the sockets of one upstream: dialled to a pinned address, kept a while for the next call, ended at once when a call fails.
// Invariant: a connection serves one call at a time, so whatever happens on it belongs to that call, and ending it harms no other.
// Apart because undici's pools decide by origin alone; here the address decides too, and a socket that is still connecting can be ended.
import { createRequire } from 'node:module';
import { connect as dialPlain, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as dialTls, type TLSSocket } from 'node:tls';
import type { Client } from 'undici';
import type { Address, Pins } from '../resolve.ts';

/** Loaded by whoever opens connections: a command that only reads a project imports this file as well. */
const require = createRequire(import.meta.url);
const undici = (): typeof import('undici') => require('undici') as typeof import('undici');

export interface Connection {
  readonly client: Client;
  readonly origin: string;
  /** The address at the other end, once it is known. */
  address(): string | undefined;
  /** Whether it was connected at any time: before that, nothing was sent. */
  met(): boolean;
  /** Whether its socket is gone. */
  lost(): boolean;
  /** Whether bytes came after the end of the answer. */
  overrun(): boolean;
  /** Ends the socket now, whatever it is doing. */
  end(): void;
}

export interface Connections {
  /** An idle connection to the origin, at the pinned address if there is one. */
  idle(origin: string, pins: Pins): Connection | undefined;
  dial(url: URL, addresses: readonly Address[]): Connection;
  /** Keeps it for the next call if it is sound, else ends it. */
  giveBack(connection: Connection): void;
  /** Connections that stand or are being made. */
  open(): number;
  close(): void;
}

/** After so long a connection is not used again: the name may lead elsewhere by now. */
const AGE_MS_MAX = 60_000;
/** How long one of several addresses may take to connect before the next is tried beside it. */
const NEXT_ADDRESS_MS = 500;
const HEADER_BYTES_MAX = 64 * 1024;

export interface ConnectionOptions {
  /** Authorities to trust, in PEM, instead of Node's own. */
  readonly ca?: readonly string[];
}

export function connections(options: ConnectionOptions = {}): Connections {
  undici(); // Now, and not within the time of the first call.
  const all = new Set<Connection>();
  const resting: { readonly connection: Connection; readonly until: number }[] = [];
  const bornAt = new WeakMap<Connection, number>();
  const forget = (connection: Connection): void => {
    all.delete(connection);
    const place = resting.findIndex((one) => one.connection === connection);
    if (place >= 0) resting.splice(place, 1);
  };
  return {
    idle(origin, pins) {
      const pinned = pins.get(origin);
      const now = performance.now();
      for (const one of resting.filter(({ until }) => until <= now)) one.connection.end();
      const place = resting.findLastIndex(
        ({ connection }) =>
          connection.origin === origin &&
          (pinned === undefined || connection.address() === pinned) &&
          !connection.lost(),
      );
      if (place < 0) return undefined;
      const [{ connection } = { connection: undefined }] = resting.splice(place, 1);
      return connection;
    },
    dial(url, addresses) {
      const connection = open(url, addresses, options, forget);
      bornAt.set(connection, performance.now());
      all.add(connection);
      connection.client.on('disconnect', () => {
        // While it serves a call its end is that call's own affair.
        if (resting.some((one) => one.connection === connection)) connection.end();
      });
      return connection;
    },
    giveBack(connection) {
      const until = (bornAt.get(connection) ?? 0) + AGE_MS_MAX;
      if (connection.lost() || !connection.met() || until <= performance.now()) connection.end();
      else resting.push({ connection, until });
    },
    open: () => all.size,
    close: () => {
      for (const connection of all) connection.end();
    },
  };
}

function open(
  url: URL,
  resolved: readonly Address[],
  { ca }: ConnectionOptions,
  forget: (connection: Connection) => void,
): Connection {
  let addresses = resolved;
  let socket: Socket | TLSSocket | undefined;
  let address: string | undefined;
  let ended = false;
  let beyond = 0;
  const client = new (undici().Client)(url.origin, {
    // Each call has one hard end, which our own signal keeps; a second clock in here would only make two errors of one.
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 1,
    maxHeaderSize: HEADER_BYTES_MAX,
    allowH2: false,
    connect: (_target, done) => {
      const dialled = dial(url, addresses, ca);
      socket = dialled;
      const failed = (error: Error): void => done(error, null);
      dialled.once('error', failed);
      watchEnd(dialled, (bytes) => (beyond += bytes));
      dialled.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        dialled.off('error', failed);
        address = dialled.remoteAddress;
        // A connection that closed while it was idle is made again before anything is sent, and then to the same address.
        addresses = addresses.filter((one) => addresses.length === 1 || one.address === address);
        done(null, dialled);
      });
    },
  });
  const connection: Connection = {
    client,
    origin: url.origin,
    address: () => address,
    met: () => address !== undefined,
    lost: () => ended || socket?.destroyed === true,
    // Between answers undici meets further bytes with an error of its parser, or as a bad response; an ordinary end is neither.
    overrun: () =>
      beyond > 0 || socket?.errored?.name === 'HTTPParserError' || socket?.errored?.message === 'bad response',
    end() {
      ended = true;
      forget(connection);
      // The client alone would leave a socket that is still connecting to the system's own patience, which is minutes. And it has to be
      // an error: what ends without one undici takes for the end of an answer without a length, and fails an assertion nobody catches.
      socket?.on('error', ignore).destroy(new Error('Ended by the client.'));
      client.destroy().catch(ignore);
    },
  };
  return connection;
}

/** After an answer that ends the connection undici puts what it has not parsed back into the destroyed socket, where it is lost. */
function watchEnd(socket: Socket, beyond: (bytes: number) => void): void {
  const unshift = socket.unshift.bind(socket);
  socket.unshift = (bytes: Uint8Array, encoding?: BufferEncoding): void => {
    if (socket.destroyed) beyond(bytes.length);
    unshift(bytes, encoding);
  };
}

function dial(url: URL, addresses: readonly Address[], ca: readonly string[] | undefined): Socket | TLSSocket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const secure = url.protocol === 'https:';
  const to = {
    host,
    port: Number(url.port) || (secure ? 443 : 80),
    lookup: pinned(addresses),
    noDelay: true,
    keepAlive: true,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  };
  if (!secure) return dialPlain(to);
  // The certificate is checked against the name of the URL, however the address came about.
  const authorities = ca === undefined ? {} : { ca: [...ca] };
  return dialTls({ ...to, ...authorities, servername: isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'] });
}

/** A lookup that knows its answer: the addresses this operation resolved, whatever the name says now. */
const pinned =
  (addresses: readonly Address[]): LookupFunction =>
  (_host, options, done) => {
    const [first] = addresses;
    if (options.all) done(null, [...addresses]);
    else done(null, first?.address ?? '', first?.family ?? 4);
  };

const ignore = (): void => undefined;
