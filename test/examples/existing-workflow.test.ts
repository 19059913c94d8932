// What is promised here: a plain Temporal workflow takes one stage in under ten changed lines, and what failed the night before then heals.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, type Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { createWorker as createPlainWorker } from '../../examples/existing-workflow/before/worker.ts';
import { createWorker } from '../../examples/existing-workflow/after/worker.ts';
import { quietRuntime } from '../support/runtime.ts';

const example = new URL('../../examples/existing-workflow/', import.meta.url);

/** Lines that a diff would show as removed or added; the three lines that open each file are about the file, not the change. */
function changedLines(name: string): { removed: string[]; added: string[] } {
  const [before, after] = ['before', 'after'].map((side) =>
    readFileSync(new URL(`${side}/${name}`, example), 'utf8')
      .split('\n')
      .slice(3),
  ) as [string[], string[]];
  return {
    removed: before.filter((line) => !after.includes(line)),
    added: after.filter((line) => !before.includes(line)),
  };
}

let shop: Server;
let from: string;
/** Statuses the shop answers with, in order; then 200. */
let answers: number[] = [];
let calls = 0;
let connection: NativeConnection;
let client: Client;

beforeAll(async () => {
  quietRuntime();
  shop = createServer((_request, response) => {
    calls++;
    const status = answers.shift() ?? 200;
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(status === 200 ? JSON.stringify([1250, 399].map((cents, id) => ({ id: `o${id}`, cents }))) : '{}');
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  from = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`;
  connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  client = new Client({ connection: await Connection.connect({ address: inject('temporalAddress') }) });
});
afterAll(async () => {
  await client?.connection.close();
  await connection?.close();
  shop?.close();
});

let running: { worker: Worker; ended: Promise<void> } | undefined;
afterEach(async () => {
  running?.worker.shutdown();
  await running?.ended;
  running = undefined;
  answers = [];
  calls = 0;
});

async function start(create: typeof createWorker) {
  const taskQueue = `example-${randomBytes(4).toString('hex')}`;
  const worker = await create(connection, taskQueue);
  running = { worker, ended: worker.run() };
  return await client.workflow.start('nightlyOrders', {
    taskQueue,
    workflowId: taskQueue,
    args: [from, '2026-11-21'],
    workflowExecutionTimeout: '1 minute',
  });
}

describe('an existing Temporal workflow', () => {
  it('takes one stage in under ten changed lines', () => {
    const all = ['workflows.ts', 'worker.ts'].map(changedLines);
    const count = all.reduce((sum, { removed, added }) => sum + removed.length + added.length, 0);
    expect(count).toBeGreaterThan(0);
    expect(count, JSON.stringify(all, null, 1)).toBeLessThan(10);
  });

  it('failed before, when the shop refused its credential', async () => {
    answers = [401, 401, 401, 401, 401];
    const handle = await start(createPlainWorker);
    await expect(handle.result()).rejects.toThrow('Workflow execution failed');
    expect(calls).toBe(3);
  });

  it('heals now what passes by itself', async () => {
    answers = [503, 502];
    const handle = await start(createWorker);
    expect(await handle.result()).toBe(1649);
    expect(calls).toBe(3);
  });

  it('asks now where time does not help, tried once, and goes on when it is told to', async () => {
    answers = [401];
    const handle = await start(createWorker);
    for (let tries = 0; tries < 200 && calls < 1; tries++) await sleep(50);
    await sleep(500);
    expect(calls).toBe(1);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await handle.signal('resume', { actor: 'ann', reason: 'credential renewed' });
    expect(await handle.result()).toBe(1649);
    expect(calls).toBe(2);
  });
});
