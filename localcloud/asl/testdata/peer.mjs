// Runs the machines on stdin, one JSON object a line, with npm's
// aws-local-stepfunctions from the folder PEER, and writes a line for each.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// What the package takes from newer Nodes than some machines have.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((a, b) => {
    resolve = a;
    reject = b;
  });
  return { promise, resolve, reject };
};
process.on('unhandledRejection', () => {}); // it tells failures twice

const { StateMachine } = createRequire(process.env.PEER + '/')('aws-local-stepfunctions');

function handlers(tasks) {
  const all = {};
  for (const [name, task] of Object.entries(tasks ?? {})) {
    let calls = 0;
    all[name] = async (input) => {
      if (calls++ < task.fails) {
        const e = new Error(task.cause);
        e.name = task.error;
        throw e;
      }
      return task.echo ? input : task.result;
    };
  }
  return all;
}

async function run(c) {
  const path = [];
  try {
    const machine = new StateMachine(c.definition, { validationOptions: { noValidate: true } });
    const zero = Object.fromEntries((c.names ?? []).map((n) => [n, 0]));
    const execution = machine.run(c.input, {
      overrides: { taskResourceLocalHandlers: handlers(c.tasks), waitTimeOverrides: zero, retryIntervalOverrides: zero },
    });
    const events = (async () => {
      for await (const e of execution.eventLogs) {
        if (e.type === 'StateEntered') path.push(e.state.name);
        if (e.type.endsWith('StateEntered') && e.type !== 'StateEntered') path.push(e.state?.name);
      }
    })();
    const output = await execution.result;
    await events;
    return { status: 'SUCCEEDED', output: output === undefined ? null : output, path };
  } catch (e) {
    const cause = e.cause ?? e;
    return { status: 'FAILED', error: cause.name ?? e.name, cause: cause.message ?? e.message, path };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const c = JSON.parse(line);
  if (c.bench) {
    const machine = new StateMachine(c.definition, { validationOptions: { noValidate: true } });
    const began = process.hrtime.bigint();
    await machine.run(c.input).result;
    console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9 }));
    continue;
  }
  console.log(JSON.stringify({ id: c.id, ...(await run(c)) }));
}
