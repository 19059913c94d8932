// What is promised here: a run never stalls silently on a search attribute that the cluster lacks or has with another type.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { reconcileSearchAttributes } from '../../src/engine/worker.ts';

const { IndexedValueType } = proto.temporal.api.enums.v1;
let connection: Connection;
beforeAll(async () => {
  connection = await Connection.connect({ address: inject('temporalAddress') });
});
afterAll(() => connection?.close());

const listed = async (namespace: string): Promise<Record<string, number>> =>
  (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes as Record<string, number>;

async function freshNamespace(): Promise<string> {
  const namespace = `attributes-${randomBytes(4).toString('hex')}`;
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  // A new namespace is known to all of the server only after a moment.
  for (let tries = 0; tries < 200; tries++) {
    const known = await listed(namespace).catch(() => undefined);
    if (known) return namespace;
    await sleep(50);
  }
  throw new Error(`The namespace ${namespace} was not there after 10 s.`);
}

describe('the search attributes of a namespace', () => {
  it('are added where they are missing, once', async () => {
    const namespace = await freshNamespace();
    expect((await reconcileSearchAttributes(connection, namespace)).toSorted()).toEqual([
      'DataDate',
      'DataSource',
      'DeadLetters',
      'FailureClass',
      'PipelineHealth',
      'PipelineName',
      'Upstream',
    ]);
    for (let tries = 0; tries < 100 && (await listed(namespace))['DataDate'] === undefined; tries++) await sleep(50);
    // A date is a word here: as a point in time it would read as the day before west of Greenwich.
    expect(await listed(namespace)).toMatchObject({
      DataDate: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
      Upstream: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
      DeadLetters: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    });
    expect(await reconcileSearchAttributes(connection, namespace)).toEqual([]);
  });

  it('of another type make the worker refuse, with what to type', async () => {
    const namespace = await freshNamespace();
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: { DataDate: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME },
    });
    for (let tries = 0; tries < 100 && (await listed(namespace))['DataDate'] === undefined; tries++) await sleep(50);
    await expect(reconcileSearchAttributes(connection, namespace)).rejects.toMatchObject({
      failure: {
        code: 'config_invalid',
        text: expect.stringMatching(
          /DataDate is Datetime, has to be Keyword.*No run was started.*temporal operator namespace create/,
        ) as string,
      },
    });
    // It has added nothing of the others either: a refusal changes nothing.
    expect(Object.keys(await listed(namespace)).filter((name) => name === 'PipelineName')).toEqual([]);
  });

  it('that this worker may not add make it refuse, with the command for someone who may', async () => {
    const namespace = await freshNamespace();
    const operatorService = Object.assign(
      Object.create(connection.operatorService) as typeof connection.operatorService,
      {
        addSearchAttributes: () => Promise.reject(new Error('Request unauthorized.')),
      },
    );
    const forbidden = Object.assign(Object.create(connection) as Connection, { operatorService });
    await expect(reconcileSearchAttributes(forbidden, namespace)).rejects.toMatchObject({
      failure: {
        text: expect.stringContaining(
          `temporal operator search-attribute create --namespace ${namespace} --name DataDate --type Keyword`,
        ) as string,
      },
    });
  });
});
