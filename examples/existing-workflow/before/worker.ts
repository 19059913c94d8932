// What lives here: the worker of the plain Temporal project.
// Invariant: nothing of Mendflow.
// Apart because it is compared with ../after, line by line.
import { fileURLToPath } from 'node:url';
import { type NativeConnection, Worker } from '@temporalio/worker';
import * as activities from '../activities.ts';

export const createWorker = (connection: NativeConnection, taskQueue: string): Promise<Worker> =>
  Worker.create({
    connection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('workflows.ts', import.meta.url)),
    activities,
  });
