// Runs a TensorFlow.js graph model on requests, with the JavaScript backend alone. Started by tfjs.py.
//
// Its argument is a file of JSON: {"model": "…/model.json" or null, "requests": [{key: {dtype, shape, data}}]}, data
// being base64. It answers on standard output: {"versions": {…}, "answers": [{key: {dtype, shape, data}}]}, or
// {"error": …, "kind": …}. It ends when standard input does: whoever started it is gone then.
'use strict';

const fs = require('fs');
const path = require('path');

const TYPES = {float32: Float32Array, int32: Int32Array, bool: Uint8Array};

// What a model prints goes where all else is said.
console.log = console.info = console.error;

function say(answer) {
  fs.writeSync(1, JSON.stringify(answer) + '\n');
}

function read(file) {
  const model = JSON.parse(fs.readFileSync(file, 'utf8'));
  const paths = model.weightsManifest.flatMap((group) => group.paths);
  const data = Buffer.concat(paths.map((name) => fs.readFileSync(path.join(path.dirname(file), name))));
  return {
    ...model,
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
  };
}

function toTensor(tf, given) {
  const bytes = Buffer.from(given.data, 'base64');
  const own = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return tf.tensor(new TYPES[given.dtype](own), given.shape, given.dtype);
}

function toJson(tensor) {
  const values = tensor.dataSync();
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  return {dtype: tensor.dtype, shape: tensor.shape, data};
}

async function main() {
  const asked = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  let tf;
  try {
    tf = require('@tensorflow/tfjs');
  } catch (error) {
    say({kind: 'missing', error: String(error.message).split('\n')[0]});
    return;
  }
  const versions = {'@tensorflow/tfjs': tf.version.tfjs, node: process.version};
  const answers = [];
  if (asked.model !== null) {
    await tf.setBackend('cpu');
    const model = await tf.loadGraphModel({load: async () => read(asked.model)});
    const named = Object.entries(model.modelSignature.outputs);
    for (const request of asked.requests) {
      const inputs = {};
      for (const [key, given] of Object.entries(request)) {
        inputs[model.modelSignature.inputs[key].name] = toTensor(tf, given);
      }
      const outputs = await model.executeAsync(inputs, named.map(([, info]) => info.name));
      const list = Array.isArray(outputs) ? outputs : [outputs];
      answers.push(Object.fromEntries(named.map(([key], index) => [key, toJson(list[index])])));
    }
  }
  say({versions, answers});
}

process.stdin.on('end', () => process.exit(1)).resume();
main().then(
    () => process.exit(0),
    (error) => {
      say({kind: 'run', error: String(error && error.message ? error.message : error)});
      process.exit(0);
    });
