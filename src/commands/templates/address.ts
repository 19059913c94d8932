// What lives here: the files of a new pipeline that downloads from an address, as texts.
// Invariant: what is written here compiles, passes its own test without infrastructure and runs on the stack; test/package proves it.
// Apart from the project's templates because these are written many times, each time with another name.
import type { Files } from './files.ts';
import type { Names } from './names.ts';

/** Workflow, activities and test of a pipeline that downloads JSON and counts it. */
export const addressFiles = (names: Names): Files => ({
  [`src/workflows/${names.name}.ts`]: workflow(names),
  [`src/activities/${names.name}.ts`]: activities(names),
  [`test/${names.name}.test.ts`]: test(names),
});

const workflow = ({
  name,
  value,
  type,
}: Names): string => `// In which order the stages run, and what happens when one fails.
import { flakyApi, local, pipeline, stages, text } from 'mendflow/workflow';
import type { ${type} } from '../activities/${name}.ts';

export const ${value} = pipeline({
  name: '${name}',
  owner: 'nobody yet',
  about: 'A JSON list from a web address, kept as a file by data date, and counted; the count is the result of the run.',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  input: { url: text('address that answers with a JSON list') },
  stages: stages<${type}>({
    // Eight attempts within five minutes; then the run waits for the address to come back.
    download: flakyApi,
    count: local,
  }),
  async run({ download, count }, { input: { url } }) {
    const { file } = await download({ url });
    // The result of the run: \`start ${name} --wait --json\` prints it, and the Web UI shows it on the run's page.
    return await count({ file });
  },
});
`;

const activities = ({
  name,
  value,
  type,
}: Names): string => `// What each stage does. Every stage may run twice, so the second time has to end as the first.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { CodedError } from 'mendflow/model';
import { stage } from 'mendflow/worker';

/** A 200 may say anything, such as an error: what is no list is asked for again, then the run asks you, and nothing of it is kept. */
export function listIn(body: string): readonly unknown[] {
  let found: unknown;
  try {
    found = JSON.parse(body);
  } catch {
    // No JSON is no list either.
  }
  if (Array.isArray(found)) return found as readonly unknown[];
  throw new CodedError('answer_refused', 'The address answered with what is no JSON list. Nothing of it was kept.');
}

export const ${value}Activities = () => ({
  /** The same data date gives the same file name, so a repetition replaces and never adds. */
  async download({ url }: { url: string }): Promise<{ file: string; bytes: number }> {
    const { dataDate, signal } = stage();
    const response = await fetch(url, { signal });
    // The status decides what happens: 503 is tried again, 401 asks you, 404 asks you.
    if (!response.ok) throw Object.assign(new Error('The address did not answer well.'), { status: response.status });
    const body = await response.text();
    listIn(body);
    const file = \`data/${name}/\${dataDate}.json\`;
    await mkdir('data/${name}', { recursive: true });
    // Whoever reads the file sees it whole or not at all.
    await writeFile(\`\${file}.part\`, body);
    await rename(\`\${file}.part\`, file);
    return { file, bytes: Buffer.byteLength(body) };
  },

  async count({ file }: { file: string }): Promise<{ items: number }> {
    return { items: listIn(await readFile(file, 'utf8')).length };
  },
});
export type ${type} = ReturnType<typeof ${value}Activities>;
`;

const test = ({ name, value }: Names): string => `// The pipeline's own logic, without Temporal and without a network.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runHere } from 'mendflow/testing';
import { listIn } from '../src/activities/${name}.ts';
import { ${value} } from '../src/workflows/${name}.ts';

it('takes a list, and nothing else, for an answer', () => {
  assert.equal(listIn('[1, 2]').length, 2);
  for (const body of ['{"error":"not today"}', '<html>', '']) assert.throws(() => listIn(body), /no JSON list/);
});

it('counts what it downloaded', async () => {
  const { result, calls } = await runHere(
    ${value},
    { dataDate: '2026-01-05', input: { url: 'http://127.0.0.1/items' } },
    { download: () => ({ file: 'items.json', bytes: 2 }), count: ({ file }) => ({ items: file.length }) },
  );
  assert.deepEqual(calls, ['download', 'count']);
  assert.deepEqual(result, { items: 10 });
});
`;
