// What is promised here: links into the Web UI are made where one is known, and elsewhere it is said what to do. That they find runs: client/stack.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Client, openClient } from '../support/client.ts';

let client: Client;
beforeAll(async () => {
  client = await openClient();
});
afterAll(() => client?.close());

it('says for a Temporal server of your own where the queries are', async () => {
  for (const argv of [['views'], ['views', '--json']]) {
    const { code, out, err } = await client.mendflow(...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/this Temporal server is one of yours\. .* paste a query of README \("Operate"\)/);
  }
});
