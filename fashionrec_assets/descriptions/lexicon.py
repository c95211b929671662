"""The words of fashion this project knows: which mean the same, which are noise, and the English for Chinese ones.

Belongs here: words and their look-up. Does not belong here: what to do when words contradict each other
(`deterministic.py`).

Each line of a table is `value: synonyms`, separated by "|". The value is what a description says; every synonym (in
English or Chinese) is what a seller may have typed for it. The Chinese words are the common category, colour, pattern
and cut terms of Chinese marketplaces; each is listed with the English it is rendered as.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache


def word_set(text: str) -> frozenset[str]:
    """The words of `text`, which white space separates."""
    return frozenset(text.split())


TYPES = """
t-shirt: tshirt|t shirt|tee|tees|tee shirt|T恤|t恤衫|短袖T恤
polo shirt: polo|polo衫
shirt: shirts|button down|button up|衬衫|衬衣
blouse: blouses|雪纺衫
tank top: tank|vest top|camisole|cami|singlet|吊带|背心
top: tops|上衣
bodysuit: body suit|连体衣
sweater: jumper|pullover|knitwear|knit sweater|毛衣|针织衫
sweatshirt: sweat shirt|crewneck sweatshirt
hoodie: hoody|hooded sweatshirt|卫衣|连帽衫
cardigan: cardigans|开衫
waistcoat: gilet|马甲
jacket: jackets|夹克|外套
down jacket: puffer|puffer jacket|羽绒服
coat: coats|overcoat|大衣
trench coat: trench|风衣
blazer: blazers|suit jacket|西装|西装外套
suit: suits|套装
dress: dresses|gown|连衣裙|长裙|裙装
skirt: skirts|半身裙|半裙|裙子
shorts: short pants|短裤
trousers: pants|slacks|chinos|裤子|长裤|休闲裤
jeans: denim pants|牛仔裤
joggers: sweatpants|track pants|jogger|运动裤
leggings: legging|打底裤
jumpsuit: romper|playsuit|连体裤
pyjamas: pajamas|sleepwear|睡衣
swimsuit: swimwear|bathing suit|泳衣
bikini: bikinis|比基尼
bra: bras|文胸
underwear: briefs|panties|boxers|内裤
socks: sock|袜子
tights: pantyhose|stockings|连裤袜
shoes: shoe|鞋|鞋子
sneakers: sneaker|trainers|running shoes|运动鞋|板鞋
boots: boot|ankle boots|靴子|短靴
sandals: sandal|凉鞋
heels: high heels|pumps|高跟鞋
loafers: loafer|乐福鞋
slippers: slipper|拖鞋
hat: hats|帽子
cap: baseball cap|棒球帽|鸭舌帽
beanie: knit hat|毛线帽
scarf: scarves|shawl|围巾
bag: bags|handbag|tote|tote bag|purse|包|包包|手提包
backpack: rucksack|背包|双肩包
belt: belts|腰带|皮带
gloves: glove|手套
tie: necktie|领带
sunglasses: shades|墨镜|太阳镜
earrings: earring|耳环
necklace: necklaces|项链
bracelet: bracelets|手链
"""

COLOURS = """
black: 黑色|黑|jet black
white: 白色|白
off white: ivory|cream|ecru|米白|米白色|offwhite
grey: gray|灰色|灰
light grey: light gray|浅灰|浅灰色
dark grey: dark gray|charcoal|深灰|深灰色
silver: 银色
gold: golden|金色
beige: 米色|sand|杏色
camel: 驼色
khaki: 卡其|卡其色
tan: 
brown: 棕色|咖啡色|褐色|coffee
dark brown: chocolate|深棕色
red: 红色|红|大红
dark red: 深红|深红色
burgundy: wine red|wine|maroon|酒红|酒红色
pink: 粉色|粉红|粉红色|粉
light pink: baby pink|浅粉|浅粉色|blush
rose: 玫红|玫红色
orange: 橙色|橘色
coral: 珊瑚色
yellow: 黄色|黄
mustard: 姜黄|姜黄色
green: 绿色|绿
dark green: 墨绿|墨绿色|深绿色|forest green
light green: mint|mint green|浅绿|浅绿色|sage
olive: army green|olive green|军绿|军绿色
teal: 
turquoise: 湖蓝
blue: 蓝色|蓝
light blue: sky blue|baby blue|浅蓝|浅蓝色|天蓝|天蓝色
dark blue: navy|navy blue|藏青|藏青色|深蓝|深蓝色|藏蓝
purple: violet|紫色|紫
lilac: lavender|浅紫|浅紫色
multicolour: multicolor|multi colour|multi color|multicolored|multi|彩色
"""

PATTERNS = """
solid: plain|solid colour|solid color|纯色
striped: stripe|stripes|stripey|条纹
checked: check|plaid|checkered|gingham|tartan|格子|格纹
dotted: dot|dots|polka dot|polka dots|spotted|波点|圆点
floral: flower|flowers|flower print|floral print|碎花|印花|花卉
leopard print: leopard|animal print|豹纹
camouflage: camo|迷彩
colour block: color block|colour blocking|color blocking|colourblock|拼色|撞色
graphic print: graphic|letter print|字母
logo: logo print
chevron: zigzag|zig zag
argyle: 菱格
"""

MATERIALS = """
cotton: 纯棉|全棉|棉
linen: 亚麻|棉麻
wool: woollen|woolen|羊毛
cashmere: 羊绒
silk: 真丝|丝绸
satin: 缎面
chiffon: 雪纺
denim: 牛仔
leather: 真皮|皮革
faux leather: pu leather|vegan leather
suede: 麂皮
velvet: 丝绒|天鹅绒
lace: 蕾丝
fleece: 抓绒
corduroy: 灯芯绒
knit: knitted|针织
jersey: 
mesh: 网纱
tulle: 
polyester: 
nylon: 
canvas: 帆布
"""

NECKLINES = """
crew neck: crewneck|neckline crew|round neck|圆领
v-neck: neckline v neck|vneck|v领
turtleneck: turtle neck|roll neck|high neck|neckline high|高领
polo collar: polo neck|翻领
hooded: hood|neckline hood|with hood|连帽
off-shoulder: off the shoulder|一字肩|露肩
square neck: 方领
boat neck: boatneck|一字领
scoop neck: u neck|neckline scoop|low neck|u领
halter neck: halter|挂脖
collared: collar|neckline collar|shirt collar
"""

SLEEVES = """
long sleeves: long sleeve|sleeve long|full sleeve|long sleeved|longsleeve|长袖
short sleeves: short sleeve|sleeve short|short sleeved|shortsleeve|短袖
three-quarter sleeves: 3/4 sleeve|sleeve three quarter|three quarter sleeve|七分袖|中袖
sleeveless: no sleeves|sleeve sleeveless|无袖
cap sleeves: cap sleeve
"""

LENGTHS = """
mini length: mini|length mini|超短
knee length: midi length|midi|length midi|length knee|knee long|中长款|中长
maxi length: maxi|length maxi|floor length|ankle length|及踝
cropped: crop|length cropped|短款
long cut: longline|length long|长款
"""

FITS = """
slim fit: slim|修身|skinny|tight
regular fit: 
loose fit: loose|oversize|oversized|baggy|relaxed|宽松
straight cut: straight|straight leg|直筒
wide leg: 阔腿
high waist: high waisted|high rise|高腰
A-line: a line|a字
pleated: 百褶
flared: flare|喇叭
"""

STYLES = """
casual: 休闲
formal: office|business|ol|通勤|职业
sporty: sport|sports|运动|gym
party: evening|晚礼服
beach: 沙滩|holiday
vintage: retro|复古
elegant: 优雅|气质
basic: basics|基础|百搭
street: streetwear|街头
bohemian: boho|波西米亚
"""

GENDERS = """
women: woman|womens|women's|ladies|lady|female|girl friend|女|女装|女士|女款
men: man|mens|men's|male|gents|男|男装|男士|男款
unisex: 中性|男女同款|情侣
girls: girl|女童
boys: boy|男童
kids: kid|children|childrens|children's|child|儿童|童装
baby: babies|infant|toddler|婴儿
"""

TABLES: dict[str, str] = {
    "type": TYPES,
    "colour": COLOURS,
    "pattern": PATTERNS,
    "material": MATERIALS,
    "neckline": NECKLINES,
    "sleeves": SLEEVES,
    "length": LENGTHS,
    "fit": FITS,
    "style": STYLES,
    "gender": GENDERS,
}

NOISE = word_set(
    """
    new newest latest hot sale sales sell selling seller bestseller best top1 no1 free shipping ship delivery
    postage discount off deal deals cheap price wholesale promo promotion clearance offer limited edition
    genuine authentic original official flagship store shop quality premium luxury trend trending trendy fashion
    fashionable popular must have musthave buy now wow omg amazing perfect gift gifts super ins hit style styles
    same celebrity korean japanese european american version season seasons spring summer autumn fall winter ss
    aw fw ready stock size sizes plus s m l xl xxl xxxl xs 2xl 3xl 4xl pcs pc lot brand brands 100 top-rated
    viral dropship tiktok instagram insta spring/summer autumn/winter
    """
)
"""Words that say nothing about the garment: urging, prices, seasons, sizes on offer. "top" and "plus" stay types/fits
where the lexicon knows the phrase they stand in, because phrases are looked up first."""

BAIT = re.compile(
    r"\b(?:top[ -](?:quality|seller|selling|rated|brand|grade)|gifts? for (?:her|him|women|men)|hot sale"
    r"|(?:all|any|every) seasons?|like new|brand new|plus size|must have)\b",
    re.IGNORECASE,
)
"""Phrases of advertising whose words alone could mean something ("top quality" is no top)."""

BOILERPLATE = re.compile(
    r"\b(?:ships?|shipping|delivery|returns?|refunds?|wholesale|dropship|size (?:chart|guide)|measurements?|lighting"
    r"|bleach|tumble|machine wash|wash(?:ed)? (?:cold|warm|with)|model is wearing|contact us|customer service|feedback"
    r"|payment|in stock|good quality)\b|温馨提示|手工测量|误差|尺码|客服|发货|色差|洗涤",
    re.IGNORECASE,
)
"""What a sentence of a description says that is about the sale and not about the garment."""

CHINESE_NOISE = (
    "包邮", "新款", "爆款", "热卖", "热销", "促销", "特价", "正品", "官方", "旗舰店", "专柜", "同款", "网红", "明星",
    "韩版", "日系", "欧美", "潮流", "潮牌", "时尚", "流行", "春季", "夏季", "秋季", "冬季", "春秋", "秋冬", "春夏",
    "春", "夏", "秋", "冬", "限时", "秒杀", "清仓", "打折", "折扣", "送", "新", "ins", "款", "装", "风", "大码", "学生",
    "显瘦", "好看", "女神", "洋气", "年",
)  # fmt: skip

PRICE = re.compile(
    r"(?:[¥$€£]|\b(?:rmb|usd|eur|gbp|cny)\b)\s*\d[\d.,]*|\d[\d.,]*\s*(?:元|块|折|[¥€£]|\b(?:rmb|usd|eur|gbp|yuan)\b)"
    r"|\d[\d.,]*\s*%(?:\s*off\b)?",
    re.IGNORECASE,
)
"""Sums of money and shares in per cent."""

INSTRUCTION = re.compile(
    r"(?:\b(?:ignore|disregard|forget|override|bypass)\b[^.!?。！？]{0,40}?"
    r"\b(?:above|previous|prior|earlier|preceding|instructions?|rules|prompts?|everything)\b"
    r"|\b(?:system|developer)\s+(?:prompt|message)\b|<\|[^>]{0,40}\|>"
    r"|\b(?:you are|act as|pretend to be)\s+(?:now\s+)?(?:an?|the)\s+(?:ai|assistant|language model|chat ?bot)\b"
    r"|\b(?:say|state|claim|write|print|output|answer|respond|reply|tell)\s+(?:that\s+)?(?:it|this|everything)\s+is\b"
    r"|\b(?:print|reveal|repeat|show|output)\s+(?:your|the)\s+(?:system\s+)?(?:prompts?|instructions?)\b"
    r"|\b(?:respond|reply|answer)\s+(?:only\s+)?with\b|忽略(?:以上|上述|上面|之前|前面)|系统提示)[^.!?。！？]*",
    re.IGNORECASE,
)
"""What reads like an order to a language model, up to the end of its sentence: no seller describes a garment so."""
_ORDER_WORDS = (
    "ignore", "disregard", "forget", "override", "bypass", "system", "developer", "<|", "you are", "act as", "pretend",
    "say", "state", "claim", "write", "print", "output", "answer", "respond", "reply", "tell", "reveal", "repeat",
    "show", "忽略", "系统提示",
)  # fmt: skip

BRANDS = word_set(
    """
    nike adidas zara gucci prada chanel dior versace puma uniqlo supreme burberry balenciaga levis levi's hermes
    fendi armani lacoste hilfiger off-white reebok asics mango bershka shein asos h&m vuitton lv ysl moncler
    patagonia carhartt vans
    """
)
"""Well-known brand names that sellers put in titles of other makers' goods; dropped unless the brand field agrees."""

COLOUR_FAMILY: dict[str, str] = {
    "black": "black", "white": "white", "off white": "white", "grey": "grey", "light grey": "grey", "dark grey": "grey",
    "silver": "grey", "gold": "yellow", "beige": "beige", "camel": "brown", "khaki": "beige", "tan": "brown",
    "brown": "brown", "dark brown": "brown", "red": "red", "dark red": "red", "burgundy": "red", "pink": "pink",
    "light pink": "pink", "rose": "pink", "orange": "orange", "coral": "orange", "yellow": "yellow",
    "mustard": "yellow", "green": "green", "dark green": "green", "light green": "green", "olive": "green",
    "teal": "teal", "turquoise": "teal", "blue": "blue", "light blue": "blue", "dark blue": "blue",
    "purple": "purple", "lilac": "purple",
}  # fmt: skip

NEIGHBOURS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair.split("-"))
    for pair in word_set(
        """
        black-grey white-grey white-beige beige-brown beige-yellow beige-pink beige-grey brown-orange brown-red
        red-pink red-orange orange-yellow orange-pink yellow-green green-teal teal-blue blue-purple purple-pink
        blue-grey purple-red brown-black brown-green
        """
    )
)
"""Families whose colours people and cameras call by either name."""

ALIKE: tuple[frozenset[str], ...] = (
    frozenset({"t-shirt", "top", "tank top", "blouse", "shirt", "polo shirt", "bodysuit", "waistcoat"}),
    frozenset({"sweater", "sweatshirt", "hoodie", "cardigan", "top"}),
    frozenset({"jacket", "coat", "trench coat", "down jacket", "blazer", "suit", "cardigan", "waistcoat"}),
    frozenset({"trousers", "jeans", "joggers", "leggings", "tights", "suit"}),
    frozenset({"shoes", "sneakers", "boots", "sandals", "heels", "loafers", "slippers"}),
    frozenset({"hat", "cap", "beanie"}),
    frozenset({"bag", "backpack"}),
    frozenset({"swimsuit", "bikini", "underwear", "bra", "socks", "tights"}),
    frozenset({"jumpsuit", "bodysuit", "pyjamas"}),
)
"""Types that sellers use for each other: naming one where the field names another is no contradiction."""

CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")


_FORGOTTEN = str.maketrans("-_/:\u2019", "    '")


@lru_cache(maxsize=16_384)
def key_of(text: str) -> str:
    """How words are looked up: lower case, hyphens and apostrophes as people forget them."""
    return " ".join(text.casefold().translate(_FORGOTTEN).split())


@cache
def entries() -> dict[str, tuple[str, str]]:
    """Key of every value and synonym to (attribute, value); the first table that names a key owns it."""
    found: dict[str, tuple[str, str]] = {}
    for attribute, table in TABLES.items():
        for line in table.strip().splitlines():
            value, _, synonyms = line.partition(":")
            for word in (value, *synonyms.split("|")):
                if key_of(word):
                    found.setdefault(key_of(word), (attribute, value.strip()))
    return found


@cache
def chinese() -> tuple[str, ...]:
    """Every key that has a Chinese character, longest first."""
    return tuple(sorted((key for key in entries() if CJK.search(key)), key=lambda key: (-len(key), key)))


def meanings(words: str) -> set[str]:
    """What `words` may be rendered as: empty if the lexicon does not know them."""
    entry = entries().get(key_of(words))
    return {entry[1]} if entry else set()


def canonical(attribute: str, words: str | None) -> str | None:
    """The lexicon's value for `words` if it is an `attribute`, else None."""
    entry = entries().get(key_of(words)) if words else None
    return entry[1] if entry and entry[0] == attribute else None


def colours_agree(first: str, second: str) -> bool:
    """Whether two colour names could describe one garment in two lights; unknown names agree with everything."""
    families = [COLOUR_FAMILY.get(canonical("colour", name) or name) for name in (first, second)]
    if None in families or families[0] == families[1]:
        return True
    return frozenset(str(family) for family in families) in NEIGHBOURS


@lru_cache(maxsize=4096)
def without_orders(text: str) -> str:
    """`text` with what reads like an order to a language model (`INSTRUCTION`) replaced by "|", of the same length."""
    lower = text.lower()
    # Looking for the first words alone is much faster, and nearly every text has none of them.
    if not any(word in lower for word in _ORDER_WORDS):
        return text
    return INSTRUCTION.sub(lambda match: "|" * len(match.group()), text)


def alike(first: str, second: str) -> bool:
    """Whether two types are the same, or used for each other by sellers."""
    return first == second or any({first, second} <= group for group in ALIKE)


def type_of(words: str) -> str | None:
    """The lexicon's type for what a field or a title calls the item ("Vest top", "Underwear Tights"); None if none."""
    known = canonical("type", words) or canonical("type", words.split("/")[0])
    found = (canonical("type", word) for word in reversed(re.findall(r"[a-z-]+", words.lower())))
    return known or next((one for one in found if one), None)


def types_in(text: str) -> set[str]:
    """Every type of the lexicon that `text` names, in one to three words."""
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", text)
    phrases = (" ".join(words[at : at + length]) for length in (1, 2, 3) for at in range(len(words) - length + 1))
    return {known for known in (canonical("type", phrase) for phrase in phrases) if known}
