// What lives here: from the configuration to live connections: the project's pipelines, Temporal, the control and the sink store.
// Invariant: what is given by the environment wins; else the stack of this folder; else one sentence says how to start it.
// Apart because the worker and every command begin with the same three steps and must find the same places.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Client, Connection, ConnectionOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Config } from './config.ts';
import type { FormatsProject, Project } from './engine/worker.ts';
import type { Registry } from './engine/workflow/registry.ts';
import type { Format } from './flow/parse/format.ts';
import type { Sink } from './flow/sink.ts';
import { CodedError } from './model/failure.ts';
import type { AnySpec, Field } from './model/spec.ts';
import type { Upstreams } from './model/upstream.ts';
import { openPool } from './store/db.ts';
import { createSealer, type LetterKey } from './store/seal.ts';
import { serverAddresses, stackStatus } from './stack/index.ts';

/** Where everything is. */
export interface Places {
  readonly databaseUrl: string;
  readonly temporal: { readonly connectionOptions: ConnectionOptions; readonly namespace: string };
  /** Only known for the stack's own server. */
  readonly uiUrl: string | undefined;
}

/** Where the control store is; asks nothing of Temporal. Throws `config_invalid` if neither the environment nor a stack says it, `pg_unreachable` if the stack's own has ended. */
export async function findDatabase(config: Config): Promise<string> {
  const url = config.databaseUrl ?? (await serverAddresses(config.dir)).databaseUrl;
  return url ?? (await nowhere(config.dir, 'postgres'));
}

/** Where Temporal is; asks nothing of Postgres. Throws `config_invalid` if neither the environment nor a stack says it, `net_refused` if the stack's own has ended. */
export async function findTemporal(config: Config): Promise<Pick<Places, 'temporal' | 'uiUrl'>> {
  if (config.temporal) {
    const { connectionOptions, namespace = 'default' } = config.temporal;
    return { temporal: { connectionOptions: connectionOptions as ConnectionOptions, namespace }, uiUrl: undefined };
  }
  const { temporalAddress, temporalUiUrl } = await serverAddresses(config.dir);
  const address = temporalAddress ?? (await nowhere(config.dir, 'temporal'));
  return { temporal: { connectionOptions: { address }, namespace: 'default' }, uiUrl: temporalUiUrl };
}

const servers = {
  postgres: { name: 'database', own: 'Postgres', variable: 'DATABASE_URL', code: 'pg_unreachable' },
  temporal: { name: 'Temporal server', own: 'The Temporal server', variable: 'TEMPORAL_ADDRESS', code: 'net_refused' },
} as const;

/** Says why no address is known: there is no stack, it was brought up with a server of yours, or its own server has ended. */
async function nowhere(dir: string, which: keyof typeof servers): Promise<never> {
  const { name, own, variable, code } = servers[which];
  const stack = await stackStatus({ dir });
  if (stack.state === 'down')
    throw new CodedError(
      'config_invalid',
      `No ${name} is configured and no stack runs in ${dir}. Nothing was changed. Start one with \`mendflow stack up\`, or set DATABASE_URL and TEMPORAL_ADDRESS.`,
    );
  if (stack[which].state === 'given')
    throw new CodedError(
      'config_invalid',
      `The stack in ${dir} was brought up with a ${name} of yours, and ${variable} is not set here. Nothing was changed. Set it, or bring up the stack's own with \`mendflow stack up\`.`,
    );
  throw new CodedError(
    code,
    `${own} of the stack in ${dir} does not run. Nothing was changed. Bring it back, with its data, by \`mendflow stack up\`.`,
  );
}

/** What a project says of itself, without the code of its stages. */
export interface Declared {
  readonly registry: Registry;
  readonly upstreams: Upstreams;
  readonly dataConverter: DataConverter | undefined;
}

/** The file that makes a folder a project. */
export const projectFile = (folder: string): string | undefined =>
  ['mendflow.config.ts', 'mendflow.config.js'].map((name) => join(folder, name)).find(existsSync);

/** What the project of this folder declares, else this package. Of this package nothing is loaded that only runs in a worker. */
export async function loadDeclared(folder: string, config: Config): Promise<Declared> {
  const given = await givenIn(folder);
  if (given === undefined || isOfFormats(given)) {
    const [{ default: registry }, { ownUpstreams }] = await Promise.all([
      import('./workflows/index.ts'),
      import('./upstreams.ts'),
    ]);
    const formats = await formatsOf(given);
    return {
      registry: formats === undefined ? registry : offering(registry, formats),
      upstreams: ownUpstreams(config),
      dataConverter: given?.dataConverter,
    };
  }
  return { registry: await registryOf(given), upstreams: given.upstreams ?? {}, dataConverter: given.dataConverter };
}

/** The project of the current folder (mendflow.config.ts or .js), else the pipelines of this package. */
export async function loadProject(folder: string): Promise<{ project: Project; registry: Registry; own: boolean }> {
  const given = await givenIn(folder);
  if (given !== undefined && !isOfFormats(given))
    return { project: given, registry: await registryOf(given), own: true };
  const { default: bare, projectWith } = await import('./project.ts');
  const registry = await registryOf(bare);
  const formats = await formatsOf(given);
  if (formats === undefined) return { project: bare, registry, own: false };
  const { dataConverter } = given!;
  const project = { ...projectWith(formats), ...(dataConverter ? { dataConverter } : {}) };
  return { project, registry: offering(registry, formats), own: false };
}

/** What the file of this folder exports. Throws `config_invalid` if that is no project. */
async function givenIn(folder: string): Promise<Project | FormatsProject | undefined> {
  const file = projectFile(folder);
  if (file === undefined) return undefined;
  if (file.endsWith('.ts')) {
    // Node 20 cannot read TypeScript by itself; the loader is asked for only where a project is written in it.
    const { register } = await import('tsx/esm/api');
    register();
  }
  const { default: given } = (await import(pathToFileURL(file).href).catch(async (error: unknown) => {
    const { commonJsFault } = await import('./commonjs-fault.ts');
    throw commonJsFault(file, error) ?? error;
  })) as { default?: Partial<Project & FormatsProject> };
  if (given?.workflows && given.formats !== undefined)
    throw new CodedError(
      'config_invalid',
      `${file} declares workflows and formats. Formats are for log-ingest of this package, which a project with workflows of its own does not run. Nothing was started. Take \`formats\` out here, and make a folder beside this one with a mendflow.config.ts of its own, \`export default project({ formats })\`; there call \`mendflow stack up\` and \`mendflow start log-ingest --set format=<name>\`.`,
    );
  if (!given?.workflows && given?.formats === undefined)
    throw new CodedError(
      'config_invalid',
      `${file} has to \`export default project({ workflows, serve })\` from mendflow/worker, or \`project({ formats })\` for line formats alone.`,
    );
  return given as Project | FormatsProject;
}

const isOfFormats = (given: Project | FormatsProject): given is FormatsProject => !('workflows' in given);

type Formats = Readonly<Record<string, Format>>;

/** All formats that there are, where a project declares some. Throws `config_invalid` naming everything that is wrong with them. */
async function formatsOf(given: FormatsProject | undefined): Promise<Formats | undefined> {
  if (given === undefined) return undefined;
  const { readFormats } = await import('./flow/formats/read-own.ts');
  return readFormats(given.formats);
}

/** The pipelines, with these formats to choose from. */
function offering(registry: Registry, formats: Formats): Registry {
  const specs = registry.specs.map((spec): AnySpec => {
    const format = spec.name === 'log-ingest' ? spec.input?.['format'] : undefined;
    if (format === undefined) return spec;
    return { ...spec, input: { ...spec.input, format: { ...format, of: Object.keys(formats) } as Field } };
  });
  return Object.assign((args: Parameters<Registry>[0]) => registry(args), { specs });
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
const HISTORY_PAGE_BYTES_MAX = 128 * 1024 * 1024;

/** Calls to Temporal are tried again as its client does by itself, and where the server's own answer asks for it: it says INTERNAL then, which the client gives up on. */
export const callAgain = (sdk: typeof import('@temporalio/client')): Required<ConnectionOptions>['interceptors'] => {
  const options = sdk.defaultGrpcRetryOptions();
  const retryableDecider: typeof options.retryableDecider = (attempt, status) =>
    options.retryableDecider(attempt, status) || (attempt < 10 && /please retry/.test(status.details));
  return [sdk.makeGrpcRetryInterceptor({ ...options, retryableDecider })];
};

/** Client side: Temporal and the control store. */
export async function connectClient(
  config: Config,
  project?: { dataConverter?: DataConverter | undefined },
): Promise<Connected> {
  // Commands that read the store alone must not pay for Temporal's client.
  const sdk = await import('@temporalio/client');
  const places: Places = { databaseUrl: await findDatabase(config), ...(await findTemporal(config)) };
  const connection = await sdk.Connection.connect({
    interceptors: callAgain(sdk),
    ...places.temporal.connectionOptions,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // A page of a long history may be larger than the 4 MB that the client takes by itself.
    channelArgs: {
      'grpc.max_receive_message_length': HISTORY_PAGE_BYTES_MAX,
      ...places.temporal.connectionOptions.channelArgs,
    },
  }).catch((error: unknown) => {
    throw new CodedError(
      'net_refused',
      `The Temporal server at ${String(places.temporal.connectionOptions.address)} does not answer. Nothing was changed. ${config.temporal ? 'Check TEMPORAL_ADDRESS' : 'Bring it back with `mendflow stack up`'}; \`mendflow doctor\` says more.`,
      { cause: error },
    );
  });
  const client = new sdk.Client({
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
