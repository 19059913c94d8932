// What lives here: `mendflow init`: a folder becomes a project with one pipeline, its data and its test.
// Invariant: no file is ever overwritten; a package.json that is there only gets what it lacks, and what was changed is told.
// Apart as every command: arguments, one call, output.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectFile } from '../connect.ts';
import { CommandError } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import { packageOf, projectFiles, type Versions } from './templates/project.ts';
import type { Files } from './templates/files.ts';

export const registerInit: Register = (program, act) => {
  program
    .command('init')
    .summary('make a project with one pipeline, its data and its test')
    .description(
      'Makes a project in a folder: one pipeline that loads an NDJSON file, its activities, its test. Files that are there are never overwritten; an existing package.json gets what it lacks. Where a mendflow.config.ts or .js is there already, that is all it does.',
    )
    .argument('[folder]', 'where', '.')
    .action(
      act(async ({ cwd, terminal }, folder: string) => {
        const root = resolve(cwd, folder);
        const config = projectFile(root);
        if (config !== undefined) {
          const notes = completeManifest(root);
          terminal.line(`${root} has ${basename(config)} already, so no pipeline was made.`);
          for (const note of notes) terminal.line(`  ${note}`);
          terminal.line(
            notes.length === 0 ? '  package.json lacks nothing. Nothing was written.' : 'Next:\n  npm install',
          );
          return 'ok';
        }
        const notes = initProject(root);
        terminal.line(`Made a project with one pipeline, orders, in ${root}.`);
        for (const note of notes) terminal.line(`  ${note}`);
        const there = relative(cwd, root);
        terminal.line('Next:');
        const unpacked = packedHere();
        if (unpacked !== undefined && !existsSync(unpacked))
          terminal.line(`  cd ${quotedPath(dirname(unpacked))} && npm pack && cd -`);
        terminal.line(`  ${there === '' ? '' : `cd ${quotedPath(there)} && `}npm install`);
        terminal.line('  npm test');
        terminal.line('  npm run dev        then, in another terminal: npx mendflow start orders --wait');
        return 'ok';
      }),
    );
};

/** Writes the project; returns what was changed in a package.json that was there. Throws `usage` naming the files that are in the way. */
export function initProject(root: string): string[] {
  const name = nameOf(root);
  const files = projectFiles(name);
  refuseExisting(root, files);
  const manifest = manifestOf(root, packageOf(name, versions(root)));
  writeFiles(root, { ...files, 'package.json': textOf(manifest.value) });
  return manifest.notes;
}

/** Gives package.json what any folder with a mendflow.config.ts needs, and touches no other file; returns what was added. */
export function completeManifest(root: string): string[] {
  const { scripts: _scripts, devDependencies: _forPipelines, ...ours } = packageOf(nameOf(root), versions(root));
  const { value, notes, quiet } = manifestOf(root, ours);
  const all = existsSync(join(root, 'package.json')) ? [...notes, ...quiet] : ['package.json: made.'];
  if (all.length > 0) writeFiles(root, { 'package.json': textOf(value) });
  return all;
}

const textOf = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 2)}\n`;

/** Throws `usage` if one of the files is there already. */
export function refuseExisting(root: string, files: Files): void {
  const there = Object.keys(files).filter((path) => existsSync(join(root, path)));
  if (there.length > 0)
    throw new CommandError(
      'usage',
      `${root} already has ${there.join(', ')}. Nothing was written. Choose another folder or name, or move what is there out of the way.`,
    );
}

/** Writes files whose folders are made on the way. */
export function writeFiles(root: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

type Manifest = Record<string, unknown>;

/** What npm writes into a new package.json, and nobody means. */
const npmPlaceholder = 'echo "Error: no test specified" && exit 1';

/** The package.json to write: ours, or the one that is there with what it lacks. */
function manifestOf(root: string, ours: Manifest): { value: Manifest; notes: string[]; quiet: string[] } {
  const file = join(root, 'package.json');
  if (!existsSync(file)) return { value: ours, notes: [], quiet: [] };
  const there = readManifest(file);
  const notes: string[] = [];
  // A list of packages whose scripts are not needed is nothing to read, where more was made.
  const quiet: string[] = [];
  const value: Manifest = { ...there };
  if (there['type'] !== 'module') {
    if (hasCommonJs(root))
      throw new CommandError(
        'usage',
        `${file} says that this project is CommonJS, and it has .js files that rely on it. Nothing was written. Choose an empty folder, or set "type": "module" yourself.`,
      );
    value['type'] = 'module';
    notes.push('package.json: "type" is "module" now.');
  }
  for (const part of ['scripts', 'dependencies', 'devDependencies', 'allowScripts'] as const) {
    const had = (there[part] ?? {}) as Record<string, unknown>;
    const wanted = Object.entries((ours[part] ?? {}) as Record<string, unknown>);
    const elsewhere = { ...(there['dependencies'] as object), ...(there['devDependencies'] as object) };
    const added = wanted.filter(([key]) =>
      part === 'scripts' || part === 'allowScripts'
        ? had[key] === undefined || had[key] === npmPlaceholder
        : !Object.hasOwn(elsewhere, key),
    );
    if (added.length === 0) continue;
    value[part] = { ...had, ...Object.fromEntries(added) };
    if (part === 'allowScripts') quiet.push('package.json: allowScripts says which install scripts nothing needs.');
    else notes.push(`package.json: added to ${part}: ${added.map(([key]) => key).join(', ')}.`);
  }
  return { value, notes, quiet };
}

function readManifest(file: string): Manifest {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Manifest;
  } catch (cause) {
    throw new CommandError('usage', `${file} is not valid JSON. Nothing was written. Mend it, then run this again.`, {
      cause,
    });
  }
  throw new CommandError('usage', `${file} holds no JSON object. Nothing was written.`);
}

const hasCommonJs = (root: string): boolean =>
  ['.', 'src', 'lib', 'test'].some(
    (folder) =>
      existsSync(join(root, folder)) &&
      readdirSync(join(root, folder)).some((entry) => entry.endsWith('.js') && entry !== 'mendflow.config.js'),
  );

/** A name that npm accepts, made of the folder's. */
function nameOf(root: string): string {
  const name = basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+|[._-]+$/g, '');
  return name === '' || name === 'mendflow' ? 'my-pipelines' : name;
}

const packageFolder = fileURLToPath(new URL('../..', import.meta.url));

const ownManifest = (): {
  version: string;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
} => JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as ReturnType<typeof ownManifest>;

/** Where `npm pack` puts the package of this checkout; undefined in an installed package, which has a registry to come from. */
const packedHere = (): string | undefined =>
  packageFolder.split(sep).includes('node_modules')
    ? undefined
    : join(packageFolder, `mendflow-${ownManifest().version}.tgz`);

/** What this release was built and tested with, for a project in this folder. */
function versions(root: string): Versions {
  const own = ownManifest();
  const packed = packedHere();
  return {
    mendflow: packed === undefined ? own.version : `file:${relative(root, packed)}`,
    tsx: own.dependencies['tsx']!,
    typescript: own.devDependencies['typescript']!,
    nodeTypes: own.devDependencies['@types/node']!,
  };
}

const quotedPath = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);
