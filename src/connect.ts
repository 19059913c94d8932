// What lives here: from the configuration to live connections: the project's pipelines, Temporal, the control and the sink store.
// Invariant: what is given by the environment wins; else the stack of this folder; else one sentence says how to start it.
// Apart because the worker and every command begin with the same three steps and must find the same places.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { Pool } from 'pg';
import type { Config } from './config.ts';
import type { Project } from './engine/worker.ts';
import type { Registry } from './engine/workflow/registry.ts';
import type { Sink } from './flow/sink.ts';
import { CodedError } from './model/failure.ts';
import { openPool } from './store/db.ts';
import { createSealer, type LetterKey } from './store/seal.ts';
import { stackAddresses } from './stack/index.ts';

/** Where everything is. */
export interface Places {
  readonly databaseUrl: string;
  readonly temporal: { readonly connectionOptions: ConnectionOptions; readonly namespace: string };
  /** Only known for the stack's own server. */
  readonly uiUrl: string | undefined;
}

/** Throws `config_invalid` if neither the environment nor a running stack says where. */
export async function findPlaces(config: Config): Promise<Places> {
  const stack = config.databaseUrl !== undefined && config.temporal ? undefined : await stackAddresses(config.dir);
  const databaseUrl = config.databaseUrl ?? stack?.databaseUrl;
  const temporal = config.temporal
    ? {
        connectionOptions: config.temporal.connectionOptions as ConnectionOptions,
        namespace: config.temporal.namespace ?? 'default',
      }
    : stack?.temporalAddress === undefined
      ? undefined
      : { connectionOptions: { address: stack.temporalAddress }, namespace: 'default' };
  if (databaseUrl === undefined || temporal === undefined)
    throw new CodedError(
      'config_invalid',
      `No ${databaseUrl === undefined ? 'database' : 'Temporal server'} is configured and no stack runs in ${config.dir}. ` +
        'Nothing was changed. Start one with `mendflow stack up`, or set DATABASE_URL and TEMPORAL_ADDRESS.',
    );
  return { databaseUrl, temporal, uiUrl: config.temporal ? undefined : stack?.temporalUiUrl };
}

/** The project of the current folder (mendflow.config.ts or .js), else the pipelines of this package. */
export async function loadProject(folder: string): Promise<{ project: Project; registry: Registry; own: boolean }> {
  const file = ['mendflow.config.ts', 'mendflow.config.js'].map((name) => join(folder, name)).find(existsSync);
  if (file === undefined) {
    const { default: project } = await import('./project.ts');
    return { project, registry: await registryOf(project), own: false };
  }
  if (file.endsWith('.ts')) {
    // Node 20 cannot read TypeScript by itself; the loader is asked for only where a project is written in it.
    const { register } = await import('tsx/esm/api');
    register();
  }
  const { default: project } = (await import(pathToFileURL(file).href)) as { default?: Project };
  if (!project?.workflows)
    throw new CodedError(
      'config_invalid',
      `${file} has to \`export default project({ workflows, serve })\` from mendflow/worker.`,
    );
  return { project, registry: await registryOf(project), own: true };
}

async function registryOf(project: Project): Promise<Registry> {
  const { default: registry } = (await import(project.workflows.href)) as { default?: Registry };
  if (!registry?.specs)
    throw new CodedError(
      'config_invalid',
      `${project.workflows.pathname} has to \`export default pipelines(…)\` from mendflow/workflow.`,
    );
  return registry;
}

export interface Connected {
  readonly places: Places;
  readonly client: Client;
  readonly connection: Connection;
  readonly control: Pool;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Client side: Temporal and the control store. */
export async function connectClient(config: Config, project?: Project): Promise<Connected> {
  const places = await findPlaces(config);
  const connection = await Connection.connect({
    ...places.temporal.connectionOptions,
    connectTimeout: CONNECT_TIMEOUT_MS,
  }).catch((error: unknown) => {
    throw new CodedError(
      'net_refused',
      `The Temporal server at ${String(places.temporal.connectionOptions.address)} does not answer. Nothing was changed. See \`mendflow stack status\`, or check TEMPORAL_ADDRESS.`,
      { cause: error },
    );
  });
  const client = new Client({
    connection,
    namespace: places.temporal.namespace,
    ...(project?.dataConverter ? { dataConverter: project.dataConverter } : {}),
  });
  const control = openPool({ url: places.databaseUrl, applicationName: 'mendflow-client' });
  const close = async (): Promise<void> => {
    await Promise.allSettled([connection.close(), control.end()]);
  };
  return { places, client, connection, control, close };
}

/** The sink of a worker: by default the control store's own Postgres. */
export const openSink = (config: Config, places: Places): Sink => ({
  pool: openPool({ url: places.databaseUrl, applicationName: 'mendflow-sink' }, config.slotsMax + 2),
  seal: createSealer([letterKeyOf(config)]),
});

/** The key from the environment, else one made once for this folder: letters are sealed from the first day. */
export function letterKeyOf(config: Config): LetterKey {
  if (config.sealKey) return { id: 'env', key: config.sealKey };
  const file = join(config.dir, 'seal.key');
  mkdirSync(config.dir, { recursive: true });
  try {
    // Exclusive: of two processes that start at once one makes the key, the other reads it.
    writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  return { id: 'file', key: Buffer.from(readFileSync(file, 'utf8').trim(), 'hex') };
}
