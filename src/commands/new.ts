// What lives here: `mendflow new pipeline <name>`: workflow, activities and test of one more pipeline, registered.
// Invariant: no file is overwritten; the two files that list pipelines are edited only at their mark, or the lines to add are said.
// Apart as every command: arguments, one call, output.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { standard } from '../model/policy.ts';
import { faultsOf } from '../model/spec.ts';
import { CommandError } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import { refuseExisting, writeFiles } from './init.ts';
import { addressFiles } from './templates/address.ts';
import { type Files, marker, upstreamMarker } from './templates/files.ts';
import { httpFiles, httpUpstream } from './templates/http.ts';
import type { Names } from './templates/names.ts';

interface Template {
  readonly says: string;
  readonly files: (names: Names) => Files;
  readonly edits: (names: Names) => readonly Edit[];
  /** What has to be known before a run: inputs, and variables of the worker. */
  readonly start: (names: Names) => readonly string[];
}

const registered = ({ name, value }: Names, made: string): readonly Edit[] => [
  {
    file: 'src/workflows/index.ts',
    mark: marker,
    imports: [`import { ${value} } from './${name}.ts';`],
    entry: `${value},`,
  },
  {
    file: 'mendflow.config.ts',
    mark: marker,
    imports: [
      `import { ${value}Activities } from './src/activities/${name}.ts';`,
      `import { ${value} } from './src/workflows/${name}.ts';`,
    ],
    entry: `serve(${value}, ${value}Activities(${made})),`,
  },
];

const templates = {
  address: {
    says: 'downloads a JSON list from an address and counts it',
    files: addressFiles,
    edits: (names) => registered(names, ''),
    start: ({ name }) => [`npx mendflow start ${name} --set url=… --wait        while npm run dev is running`],
  },
  http: {
    says: 'fetches records from an upstream over HTTP and loads them into a table',
    files: httpFiles,
    edits: (names) => [
      ...registered(names, 'sink, upstreams'),
      {
        file: 'src/upstreams.ts',
        mark: upstreamMarker,
        imports: [],
        entry: httpUpstream(names),
      },
    ],
    start: ({ name, variable }) => [
      `${variable}_API=https://… ${variable}_TOKEN=… npm run dev        see src/upstreams.ts`,
      `npx mendflow start ${name} --wait        in another terminal`,
    ],
  },
} as const satisfies Record<string, Template>;
type From = keyof typeof templates;

export const registerNew: Register = (program, act) => {
  program
    .command('new')
    .summary('add a pipeline to this project')
    .description('Adds things to this project.')
    .command('pipeline', { isDefault: true })
    .summary('workflow, activities and test of one more pipeline')
    .description('Adds a pipeline: its workflow, its activities and its test, and registers it for worker and client.')
    .argument('<name>', 'lower-case words joined by "-", such as web-orders')
    .option(
      '--from <template>',
      `what it is made from: ${Object.entries(templates)
        .map(([name, { says }]) => `${name} (${says})`)
        .join(', ')}`,
      'address',
    )
    .action(
      act(async ({ cwd, terminal }, name: string, { from }: { from: string }) => {
        if (!Object.hasOwn(templates, from))
          throw new CommandError(
            'usage',
            `There is no template "${from}"; there is ${Object.keys(templates).join(', ')}. Nothing was written.`,
          );
        const { files, byHand, next } = newPipeline(cwd, name, from as From);
        for (const file of files) terminal.line(`Wrote ${file}.`);
        for (const one of byHand) {
          terminal.line(`Add to ${one.file}, which could not be edited:`);
          for (const line of one.lines.flatMap((text) => text.split('\n'))) terminal.line(`  ${line}`);
        }
        terminal.line('Next:');
        for (const line of ['npm test', 'npm run check', ...next]) terminal.line(`  ${line}`);
        return 'ok';
      }),
    );
};

/** A file that a person has to edit, because the mark was not found in it. */
interface ByHand {
  readonly file: string;
  readonly lines: readonly string[];
}

interface Edit {
  readonly file: string;
  /** The line above which the entry goes. */
  readonly mark: string;
  /** Import to add behind the last one. */
  readonly imports: readonly string[];
  /** Entry to add above the mark. */
  readonly entry: string;
}

/** Adds the pipeline. Throws `usage` for a name that is none, files in the way, or a folder that is no project. */
export function newPipeline(
  root: string,
  name: string,
  from: From = 'address',
): { files: string[]; byHand: ByHand[]; next: readonly string[] } {
  const names = namesOf(name);
  const template: Template = templates[from];
  const files = template.files(names);
  if (!existsSync(join(root, 'mendflow.config.ts')))
    throw new CommandError(
      'usage',
      `${root} has no mendflow.config.ts, so it is no project of Mendflow. Nothing was written. Go to the project's folder, or make one: mendflow init.`,
    );
  refuseExisting(root, files);
  const byHand: ByHand[] = [];
  const edited: Record<string, string> = {};
  for (const edit of template.edits(names)) {
    const path = join(root, edit.file);
    const text = existsSync(path) ? withEntry(readFileSync(path, 'utf8'), edit) : undefined;
    if (text === undefined) byHand.push({ file: edit.file, lines: [...edit.imports, edit.entry] });
    else edited[edit.file] = text;
  }
  writeFiles(root, files);
  for (const [file, text] of Object.entries(edited)) writeFileSync(join(root, file), text);
  return { files: [...Object.keys(files), ...Object.keys(edited)], byHand, next: template.start(names) };
}

/** The text with the import and the entry in it; undefined if it has no mark, or no imports to put one behind. */
function withEntry(text: string, { mark, imports, entry }: Edit): string | undefined {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.trim() === mark);
  const lastImport = lines.findLastIndex((line) => /^(import\b.*|\} )from\s+['"][^'"]+['"];?\s*$/.test(line));
  if (at < 0 || lastImport < 0 || lastImport > at) return undefined;
  const indent = /^\s*/.exec(lines[at]!)![0];
  lines.splice(at, 0, ...entry.split('\n').map((line) => `${indent}${line}`));
  lines.splice(lastImport + 1, 0, ...imports);
  return lines.join('\n');
}

/** Words that cannot be, or already are, a name in the files that are written. */
const taken = new Set(
  'await break case catch class const continue debugger default delete do else enum export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof var void while with yield assert bins calls check columns count datasetSource declared download fetch fetched file flakyApi flow into it json landDataset listIn load local openHttp parse pipeline pipelines prepare project result runHere schema secret serve service sink sql stage stages table text transform upstreams warehouse'.split(
    ' ',
  ),
);

function namesOf(name: string): Names {
  const faults = faultsOf({ name, owner: '', every: 'none', logic: '1', stages: { some: standard } });
  if (faults.length > 0) throw new CommandError('usage', `${faults.join(' ')} Nothing was written.`);
  const camel = name.replace(/-([a-z0-9])/g, (_dash, letter: string) => letter.toUpperCase());
  const value = taken.has(camel) ? `${camel}Pipeline` : camel;
  const snake = name.replaceAll('-', '_');
  return {
    name,
    value,
    type: `${value[0]!.toUpperCase()}${value.slice(1)}`,
    table: snake,
    variable: snake.toUpperCase(),
  };
}
