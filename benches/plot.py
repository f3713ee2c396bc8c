"""Small plots side by side, both axes logarithmic, as one SVG."""

import math
from html import escape

WIDTH, HEIGHT, COLUMNS = 300, 210, 3
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 28
COLOURS = {"libvirt": "#b3541e", "virsnap": "#1f6f8b"}


def svg(panels):
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        x, y = WIDTH * (number % COLUMNS), HEIGHT * (number // COLUMNS)
        parts.append(f'<g transform="translate({x},{y})">{panel(title, lines)}</g>')
    for number, (name, colour) in enumerate(COLOURS.items()):
        x, y = LEFT + 110 * number, height - 10
        parts.append(f'<rect x="{x}" y="{y - 8}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20}" y="{y - 2}">{name}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def panel(title, lines):
    points = [point for line in lines.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return ""
    first_x, last_x = exponents(point[0] for point in points)
    first_y, last_y = exponents(point[1] for point in points)

    def place(point):
        x = LEFT + (math.log10(point[0]) - first_x) / (last_x - first_x) * (WIDTH - LEFT - RIGHT)
        up = (math.log10(point[1]) - first_y) / (last_y - first_y)
        return x, HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>']
    for exponent in range(first_y, last_y + 1):
        y = place((10**first_x, 10**exponent))[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**exponent:,g}</text>')
    for exponent in range(first_x, last_x + 1):
        x = place((10**exponent, 10**first_y))[0]
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        label = f"10{'⁰¹²³⁴⁵⁶⁷⁸⁹'[exponent]}"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{label}</text>')
    for name, line in lines.items():
        places = [place(point) for point in line if point[0] > 0 and point[1] > 0]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        if path:
            parts.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in places]
    return "".join(parts)


def exponents(values):
    """The powers of ten around the values, at least one apart."""
    logarithms = [math.log10(value) for value in values]
    first = math.floor(min(logarithms) + 1e-9)
    return first, max(math.ceil(max(logarithms) - 1e-9), first + 1)
