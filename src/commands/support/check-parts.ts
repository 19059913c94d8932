// What lives here: the parts of `mendflow check` that need no cluster: specs, stages, bundle, types.
// Invariant: a part says everything that is wrong with it, or why it could not be looked at; none stops another.
// Apart from the command so that each is tested by what it finds.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { unopenedUpstreams } from '../../engine/unopened-upstreams.ts';
import { bundleWorkflows, type Project, type Served } from '../../engine/worker.ts';
import type { AnySpec } from '../../model/spec.ts';
import { faultsOf } from '../../model/spec.ts';
import { faultsOfUpstreams, type Upstreams } from '../../model/upstream.ts';
import { openPool } from '../../store/db.ts';
import { createSealer } from '../../store/seal.ts';

/** What was looked at, and what was found. */
export interface Part {
  readonly part: 'project' | 'specs' | 'stages' | 'bundle' | 'types' | 'histories';
  readonly state: 'ok' | 'fault' | 'skipped';
  /** One sentence: what was looked at, or why not. */
  readonly says: string;
  readonly faults: readonly string[];
}

export const part = (name: Part['part'], says: string, faults: readonly string[] = []): Part => ({
  part: name,
  state: faults.length > 0 ? 'fault' : 'ok',
  says,
  faults,
});
export const skipped = (name: Part['part'], says: string): Part => ({ part: name, state: 'skipped', says, faults: [] });

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The specs and the declared upstreams, each by itself and together: a worker with such a fault does not start. */
export function checkSpecs(specs: readonly AnySpec[], declared: Upstreams): Part {
  const unknown = specs.flatMap((spec) =>
    Object.entries(spec.stages).flatMap(([stage, { upstream }]) =>
      upstream === undefined || Object.hasOwn(declared, upstream)
        ? []
        : [
            `Stage ${spec.name}/${stage} names the upstream "${upstream}", which is not declared. Declare it in \`upstreams\` of mendflow.config.ts, or correct the name.`,
          ],
    ),
  );
  const keys = Object.keys(declared);
  return part(
    'specs',
    `Pipelines: ${specs.map((spec) => spec.name).join(', ')}.${keys.length === 0 ? '' : ` Upstreams: ${keys.join(', ')}.`}`,
    [...specs.flatMap(faultsOf), ...faultsOfUpstreams(declared), ...unknown],
  );
}

/** Every stage that a spec declares has code, and every code has a stage. Never connects: the pool is made and not used. */
export function checkStages(project: Project, specs: readonly AnySpec[]): Part {
  const pool = openPool({ url: 'postgres://127.0.0.1:1/none', applicationName: 'mendflow-check' });
  let served: readonly Served[];
  try {
    const sink = { pool, seal: createSealer([{ id: 'check', key: Buffer.alloc(32) }]) };
    served = project.serve(sink, unopenedUpstreams(project.upstreams));
  } catch (error) {
    return part('stages', 'The stages could not be made.', [
      `serve() of the project failed without a database: ${messageOf(error)} Make connections when a stage runs, not when it is made.`,
    ]);
  }
  const faults: string[] = [];
  for (const spec of specs) {
    const one = served.find((other) => other.spec.name === spec.name);
    if (!one) {
      faults.push(
        `Pipeline "${spec.name}" is listed, but not served: its runs would wait for ever. Add serve(…) for it to mendflow.config.ts.`,
      );
      continue;
    }
    for (const stage of Object.keys(spec.stages))
      if (typeof one.stages[stage] !== 'function') faults.push(`Stage ${spec.name}/${stage} has no code.`);
    for (const stage of Object.keys(one.stages))
      if (!Object.hasOwn(spec.stages, stage)) faults.push(`Stage ${spec.name}/${stage} has code, but no policy.`);
  }
  for (const { spec } of served)
    if (!specs.some((other) => other.name === spec.name))
      faults.push(
        `Pipeline "${spec.name}" is served, but not listed: it cannot be started. Add it to pipelines(…) in src/workflows/index.ts.`,
      );
  const count = served.reduce((sum, one) => sum + Object.keys(one.stages).length, 0);
  return part('stages', `${count} stages are served.`, faults);
}

/** What Temporal's sandbox may hold: the SDK, and the engine of this package. */
const sandboxPackages = ['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc', 'mendflow'];

/** The bundle builds and holds no other packages. Returns it for the replay of histories. */
export async function checkBundle(
  workflows: URL,
  allowed: readonly string[],
): Promise<{ part: Part; code: string | undefined }> {
  let code: string;
  try {
    ({ code } = await bundleWorkflows(workflows));
  } catch (error) {
    return { part: part('bundle', 'The workflows cannot be bundled.', [messageOf(error)]), code: undefined };
  }
  const packages = packagesIn(code);
  const foreign = packages.filter((name) => !sandboxPackages.includes(name) && !allowed.includes(name));
  const faults = foreign.map(
    (name) =>
      `The workflows pull in the package ${name}, which would run in Temporal's sandbox and at every replay. Import its types only, use it in an activity, or permit it: --allow ${name}.`,
  );
  return { part: part('bundle', `${Math.round(code.length / 1024)} KiB, with ${packages.join(', ')}.`, faults), code };
}

/** Packages whose code is in a bundle, from its own source map. */
export function packagesIn(code: string): string[] {
  const encoded = code.slice(code.lastIndexOf('base64,') + 'base64,'.length).trim();
  const { sources } = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as { sources: string[] };
  const names = sources.flatMap((source) => {
    // The last one counts: a package may bring packages of its own.
    const at = source.lastIndexOf('node_modules/');
    const found = at < 0 ? null : /^((?:@[^/]+\/)?[^/]+)/.exec(source.slice(at + 'node_modules/'.length));
    return found ? [found[1]!] : [];
  });
  return [...new Set(names)].sort();
}

const TYPES_TIMEOUT_MS = 180_000;

/** The project's own TypeScript over its own tsconfig.json. */
export async function checkTypes(root: string): Promise<Part> {
  if (!existsSync(join(root, 'tsconfig.json'))) return skipped('types', 'There is no tsconfig.json.');
  const compiler = compilerOf(root);
  if (compiler === undefined)
    return skipped('types', 'TypeScript is not installed here, so types were not checked: npm install -D typescript');
  const args = [compiler, '--noEmit', '--pretty', 'false', '-p', 'tsconfig.json'];
  return await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, timeout: TYPES_TIMEOUT_MS, maxBuffer: 1 << 24 }, (error, stdout) => {
      const faults = error ? mistakesIn(stdout) : [];
      resolve(part('types', 'tsc with tsconfig.json.', error && faults.length === 0 ? [messageOf(error)] : faults));
    });
  });
}

/** The compiler's mistakes: it begins each at the margin and explains it on indented lines below. */
function mistakesIn(output: string): string[] {
  const mistakes: string[] = [];
  for (const line of output.split(/\r?\n/)) {
    if (line.trim() === '') continue;
    if (/^\s/.test(line) && mistakes.length > 0) mistakes[mistakes.length - 1] += `\n${line}`;
    else mistakes.push(line);
  }
  return mistakes;
}

function compilerOf(root: string): string | undefined {
  try {
    const manifest = createRequire(join(root, 'package.json')).resolve('typescript/package.json');
    const compiler = join(dirname(manifest), 'bin', 'tsc');
    return existsSync(compiler) ? compiler : undefined;
  } catch {
    return undefined; // Not installed, here or in a folder above.
  }
}
