// What is promised here: the golden file holds what the drivers of today say. Run by hand, see record.config.ts; the file is then reviewed and committed.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { failures, openScene, thrownBy } from './provoke.ts';
import { freeze } from './shapes.ts';
import { factsOf, lineOf } from './table.ts';

it('records what the drivers say', async () => {
  const scene = await openScene();
  const golden: object[] = [];
  const surprises: string[] = [];
  try {
    for (const one of failures) {
      const error = await thrownBy(one, scene);
      const shape = freeze(error);
      const { code, class: cls, fault, commit } = classify(error);
      if (code !== one.code && code !== one.or)
        surprises.push(`${one.what}: ${code}, not ${one.code}: ${JSON.stringify(shape)}`);
      golden.push({ what: one.what, expected: { code, class: cls, fault, commit }, error: shape });
    }
  } finally {
    await scene.close();
  }
  writeFileSync(join(import.meta.dirname, 'golden.json'), `${JSON.stringify(golden, null, 2)}\n`);
  expect(surprises).toEqual([]);
}, 300_000);

it('records what the tables say, fact by fact', () => {
  writeFileSync(join(import.meta.dirname, 'table.tsv'), `${factsOf().map(lineOf).join('\n')}\n`);
});
