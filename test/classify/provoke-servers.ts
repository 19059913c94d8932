// What lives here: servers that break, and the clients that meet them.
// Invariant: loopback only; what is opened is closed with the scene.
// Apart because sockets, answers and certificates fail in files of their own.
import { get } from 'node:http';
import { createServer as createSocketServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect as dialTls } from 'node:tls';
import { request } from 'undici';
import { type Script, startScripts } from '../support/http.ts';
import type { Scene } from './provoke.ts';

export type Tls = { key: string; cert: string };
export const serverOf = async (scene: Scene, script: Script, tls?: Tls): Promise<string> => {
  const server = await startScripts(() => script, tls === undefined ? {} : { tls });
  scene.defer(() => server.close());
  return server.address;
};
/** A port where nobody listens any more. */
export const closedPort = async (): Promise<number> => {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};
/** A server that takes a connection and then does as it is told, below HTTP. */
export const rawServer = async (scene: Scene, on: (socket: Socket) => void): Promise<number> => {
  const server = createSocketServer((socket) => {
    socket.on('error', () => undefined); // It is there to be cut.
    scene.defer(() => socket.destroy());
    on(socket);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  scene.defer(() => server.close());
  return (server.address() as AddressInfo).port;
};
export const viaUndici = async (address: string, options: Parameters<typeof request>[1] = {}): Promise<unknown> =>
  await (await request(address, options)).body.text();
export const viaFetch = async (address: string, options: RequestInit = {}): Promise<unknown> =>
  await (await fetch(address, options)).text();
export const viaNode = (address: string): Promise<unknown> =>
  new Promise((_, reject) => {
    get(address, (answer) => answer.on('error', reject).on('data', () => undefined)).on('error', reject);
  });
export const viaTls = (port: number, options: object): Promise<never> =>
  new Promise((resolve, reject) => {
    const socket = dialTls({ port, host: '127.0.0.1', ...options }, () => resolve(undefined as never));
    socket.on('error', reject);
  });
