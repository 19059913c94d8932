// What is promised here: who asks for a pipeline in the wrong folder is told which one is right, or how to find it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mendflow, projectFolder } from '../support/client.ts';

describe('a pipeline that this folder does not have', () => {
  it.each([
    ['explain', 'orders', 'load', '--when', 'ok'],
    ['start', 'orders'],
    ['pipelines', 'show', 'orders'],
  ])('%s: says where to go, in a folder below a project, in one that is none, and in a project', async (...argv) => {
    const project = mkdtempSync(join(tmpdir(), "mendflow it's "));
    try {
      mkdirSync(join(project, 'src', 'deep'), { recursive: true });
      const elsewhere = await mendflow(argv, join(project, 'src'));
      expect(elsewhere.code).toBe(6);
      expect(elsewhere.err).toBe(
        `There is no mendflow.config.ts in ${join(project, 'src')}, so only the pipelines of this package are known here: log-ingest, daily-report. Nothing was changed. Go to the folder of the project that has "orders", and call it there.\n`,
      );
      writeFileSync(join(project, 'mendflow.config.js'), 'export default {}');
      const below = await mendflow(argv, join(project, 'src', 'deep'));
      expect(below.err).toContain(
        `The project of this folder is above it. Call it there: cd '${project.replaceAll("'", "'\\''")}'\n`,
      );
    } finally {
      rmSync(project, { recursive: true });
    }
    expect((await mendflow(argv, projectFolder)).err).toContain(
      'This project has no pipeline "orders". It has: copy, loud.',
    );
  });
});

it('who declares formats beside workflows is told where each belongs', async () => {
  const project = mkdtempSync(join(tmpdir(), 'mendflow-both-'));
  writeFileSync(join(project, 'mendflow.config.js'), 'export default { workflows: new URL("file:///w"), formats: {} }');
  const { code, err } = await mendflow(['pipelines'], project);
  rmSync(project, { recursive: true });
  expect(code).toBe(2);
  expect(err).toContain(
    'Take `formats` out here, and make a folder beside this one with a mendflow.config.ts of its own',
  );
  expect(err).toContain('mendflow start log-ingest --set format=<name>');
});
