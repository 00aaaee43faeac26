/** The few words that the panels show, in the language of the page. */

const ENGLISH = {
  frames: (n) => (n === 1 ? "1 frame" : `${n} frames`),
  of: (frames, width, height) => `${frames} of ${width} × ${height}`,
  latents: (sizes, tokens) => `${sizes.join(" × ")} latents, ${tokens} tokens`,
  tooLarge: (limit) => `above the limit of ${limit} tokens`,
  connected: "comes from a connected value",
  given: (what) => `given ${what}`,
  generated: (what) => `new ${what}`,
  blended: (what) => `blend ${what}`,
  whole: "video",
  first: "first",
  second: "second",
  outside: "outside the video",
  again: (seconds) => `${seconds} ↻ from the start again`,
  wrongLine: (line) => `line ${line} is not read yet`,
  aspect: (aspect) => `aspect ${aspect}`,
  about: (seconds) => `about ${seconds} s`,
  plays: "the video plays here after a run",
  tells: "the text stands here after a run",
  player: "the finished video: press to play or to stop",
};

const CHINESE = {
  frames: (n) => `${n} 帧`,
  of: (frames, width, height) => `${frames}，${width} × ${height}`,
  latents: (sizes, tokens) => `Latent ${sizes.join(" × ")}，${tokens} 个 token`,
  tooLarge: (limit) => `超过 ${limit} 个 token 的上限`,
  connected: "来自所连接的数值",
  given: (what) => `给定 ${what}`,
  generated: (what) => `新生成 ${what}`,
  blended: (what) => `混合 ${what}`,
  whole: "视频",
  first: "第一段",
  second: "第二段",
  outside: "在视频之外",
  again: (seconds) => `${seconds} ↻ 回到开头`,
  wrongLine: (line) => `第 ${line} 行尚不能识别`,
  aspect: (aspect) => `宽高比 ${aspect}`,
  about: (seconds) => `约 ${seconds} 秒`,
  plays: "运行后视频在这里播放",
  tells: "运行后文字显示在这里",
  player: "完成的视频：按下可播放或停止",
};

/** The words for a locale such as "en" or "zh"; English for any that is not translated. */
export function wordsFor(locale) {
  return locale === "zh" ? CHINESE : ENGLISH;
}
