// openai-node: plain with its headers, and streamed.
import OpenAI from 'openai'

const [url, model] = process.argv.slice(2)
const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
const asked = {
  model,
  messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Name a colour.' }],
  seed: 7,
  temperature: 0.8,
  max_tokens: 24
}
const { data, response } = await client.chat.completions.create(asked).withResponse()
let streamed = ''
let last
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? ''
  last = chunk
}
console.log(JSON.stringify({
  text: data.choices[0].message.content,
  streamed,
  receipt: data.p2pverify.receipt,
  header: response.headers.get('x-p2pverify-receipt'),
  last_chunk: last.p2pverify.receipt
}))
