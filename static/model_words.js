// What the server wrote down in English, for readers of Chinese: who did something, why, and what is wrong with a model.

import { currentLanguage, say } from "./texts.js";

const V = "(\\S+)";
const REASONS = [
  [`^(.*?)${V} is no better than ${V}: (\\d+) of (\\d+) pictures right against (\\d+)\\.$`, "$1$2 并不优于 $3：$5 张照片中答对 $4 张，对方 $6 张。"],
  [`^(.*?)${V} is better than ${V}: (\\d+) of (\\d+) pictures right against (\\d+) \\(p = (\\S+)\\).*$`, "$1$2 优于 $3：$5 张照片中答对 $4 张，对方 $6 张（p = $7）。"],
  [`^(.*?)${V} is perhaps better than ${V}: (\\d+) of (\\d+) pictures right against (\\d+), which may be chance.*$`, "$1$2 可能优于 $3：$5 张照片中答对 $4 张，对方 $6 张，但也可能只是偶然。"],
  [`^(.*?)${V} has (\\d+) of (\\d+) pictures right against (\\d+), but .*$`, "$1$2 在 $4 张照片中答对 $3 张，对方 $5 张，但另有不足之处。"],
  [`^(.*?)There is no picture to compare ${V} with ${V} on.*$`, "$1没有 $2 和 $3 都没学过的照片可供比较。"],
  ["^(.*?)It was not compared: .*$", "$1未经比较。"],
  ["^the first version of the mode$", "该模式的第一个版本。"],
  ["^found with no state\\.json.*$", "未留下记录，沿用最新的版本。"],
  ["^imported from (\\S+), SHA-256 .*$", "从文件 $1 导入。"],
  ["^imported from (\\S+)$", "从 $1 导入。"],
  ["^it erred (\\d+) times.*$", "它连续出错 $1 次，已自动停止。"],
  ["^its head has (\\d+) classes and its labels file (\\d+)$", "模型有 $1 个类别，标签文件却有 $2 个"],
  ["^.* needs a labels file.*$", "缺少标签文件：每行一个类别，顺序与模型一致"],
  ["^it has no labels file beside it.*$", "旁边没有标签文件"],
  ["^.* is damaged, still being copied, or holds more than tensors$", "文件已损坏，或不是只含张量的 .pth 文件"],
  ["^it is not a state_dict.*$", "它不是 state_dict（只含权重的 .pth 文件）"],
  ["^it holds no 'fc' and no 'features'.*$", "它不是 ResNet-18 的权重"],
  ["^the zip does not hold one version.*$", "压缩包里不是一个完整的版本（manifest.json 与权重文件）"],
  ["^the zip is damaged.*$", "压缩包已损坏或有密码"],
  ["^a version brings its own labels.*$", "版本压缩包自带标签，请不要另附标签文件"],
  ["^its head is \\((\\d+), (\\d+)\\), but .*$", "它的尺寸（$1 × $2）与基础模型不符"],
  ["^it was trained on (\\S+) weights that are not here.*$", "它依赖的 $1 权重不在这台机器上，需要重新训练"],
  ["^\\S+ is not the file that manifest\\.json describes.*$", "权重文件与 manifest.json 的记录不符"],
  ["^there is no other complete version (\\S+) to try$", "没有可供试用的其他完整版本 $1"],
  ["^its answers are not finite numbers.*$", "它的输出不是有效的数值"],
].map(([pattern, chinese]) => [new RegExp(pattern, "s"), chinese]);

/** A reason that the server gives, in the page's language where its sentence is known. */
export function reasonOf(text) {
  const plain = text.trim();
  if (currentLanguage() !== "zh") return plain;
  const bare = plain.replace(/^模型无法使用：/, "").replace(/^\S+ cannot be (?:imported|made active): /, "").replace(/。$/, "");
  for (const [pattern, chinese] of REASONS) {
    for (const said of [plain, bare, bare.replace(/\.$/, "")]) {
      if (pattern.test(said)) return said.replace(pattern, chinese);
    }
  }
  return plain;
}

/** Who it was, as the history has it. */
export function whoOf(by) {
  const address = /^the administrator, from (.+)$/.exec(by)?.[1];
  if (address) return say("models_by_admin", { address });
  if (by === "the server") return say("models_by_server");
  if (by === "training") return say("models_by_training");
  return by === "unknown" ? say("models_by_nobody") : by;
}
