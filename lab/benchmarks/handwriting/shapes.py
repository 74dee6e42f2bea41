"""How people write the ten digits: at least four ways each, as the strokes of a pen.

A stroke is a list of points, x to the right and y down, in a field of 100 by 100 that
the digit fills roughly. The pen goes through them in a smooth curve; a point that is
given twice makes a corner.
"""

Point = tuple[float, float]
Stroke = list[Point]
Shape = list[Stroke]

# Digit, name of the shape, and its strokes with a slash between them.
LINES = """
0 oval: 52,0 22,12 10,50 22,88 50,100 78,88 90,50 78,12 52,0
0 narrow: 60,0 36,18 26,55 32,90 46,100 66,80 74,42 70,8 58,0
0 overlapping: 66,10 40,2 16,26 10,62 30,96 62,96 88,64 86,26 62,4 38,14
0 open: 44,4 20,20 10,56 26,92 56,100 84,78 90,38 74,10 58,6
1 bar: 50,0 50,100
1 slanted: 64,0 36,100
1 flag: 32,22 54,0 54,0 52,100
1 flag and foot: 28,24 52,0 52,0 52,100 / 26,100 78,100
2 straight foot: 14,24 26,6 52,0 78,10 82,32 62,60 14,100 14,100 88,100
2 looped: 18,22 34,4 60,2 76,22 66,52 40,84 20,98 12,86 26,78 54,92 90,94
2 angular: 16,10 46,0 76,8 76,30 18,98 18,98 84,96
2 waving: 16,30 24,8 52,0 76,14 74,40 48,72 16,96 16,96 44,88 68,100 90,92
3 round: 16,12 46,0 74,12 70,36 42,46 42,46 76,56 82,80 54,100 14,90
3 flat top: 16,0 16,0 80,0 80,0 44,40 44,40 78,52 82,80 52,100 14,90
3 looped: 20,14 46,0 74,12 66,38 44,50 38,44 50,44 78,58 80,84 50,100 16,88
3 wide: 10,18 38,0 72,8 70,34 36,48 36,48 78,54 86,82 50,100 8,84
4 open: 22,2 14,56 14,56 84,54 / 66,4 60,100
4 closed: 64,0 64,0 10,64 10,64 90,64 / 66,0 64,100
4 cup: 20,4 16,38 28,54 56,52 74,40 / 78,2 74,50 70,100
4 one line: 72,100 70,50 70,2 70,2 12,62 12,62 92,60
5 hat: 28,4 24,44 24,44 54,38 80,56 76,88 46,100 14,90 / 28,4 82,2
5 one line: 82,2 82,2 30,4 30,4 24,44 24,44 58,40 80,62 70,92 40,100 14,90
5 flowing: 80,4 46,4 28,22 34,44 62,54 72,76 54,98 18,94
5 loose hat: 32,10 26,46 26,46 56,42 78,60 70,90 42,100 16,92 / 42,4 86,0
6 curved: 70,2 38,22 18,62 28,94 56,100 78,80 66,58 40,58 22,76
6 straight back: 54,0 34,36 22,72 34,98 62,98 76,78 62,58 40,60 26,76
6 hooked: 82,14 62,0 34,18 18,58 26,92 54,100 80,82 72,56 44,52 22,70
6 small bowl: 62,0 40,28 28,66 32,92 52,100 66,88 62,70 46,68 32,82
7 plain: 12,4 12,4 86,2 86,2 60,44 44,100
7 curved: 14,10 44,6 84,4 84,4 62,34 50,66 48,100
7 hooked: 14,24 16,4 16,4 84,4 84,4 46,100
7 crossed: 14,4 14,4 86,2 86,2 42,100 / 36,52 80,50
8 one line: 74,14 48,0 26,16 38,40 68,60 78,84 50,100 22,84 34,58 66,38 74,14
8 two rings: 50,0 28,12 28,34 50,46 72,34 72,12 50,0 / 50,46 24,60 24,88 50,100 76,88 76,60 50,46
8 open top: 78,8 46,2 28,20 44,42 70,62 72,90 46,100 24,84 36,60 64,36 82,14
8 narrow: 64,12 50,0 36,14 44,38 60,62 62,88 46,100 34,84 42,60 60,36 64,12
9 straight stem: 74,12 46,2 22,22 30,46 56,46 74,14 74,14 70,100
9 curved stem: 76,18 54,0 26,12 22,38 48,48 72,30 76,14 74,54 60,84 36,100
9 hooked: 74,16 48,0 22,18 30,46 60,44 74,16 74,16 76,70 60,98 28,92
9 small bowl: 68,10 50,0 34,14 38,34 56,34 68,12 68,12 60,60 46,100
"""


def _shape(strokes: str) -> Shape:
    points = [[point.split(",") for point in stroke.split()] for stroke in strokes.split("/")]
    return [[(int(x), int(y)) for x, y in stroke] for stroke in points]


SHAPES: dict[int, dict[str, Shape]] = {digit: {} for digit in range(10)}
for line in LINES.strip().splitlines():
    name, _, strokes = line.partition(": ")
    SHAPES[int(name[0])][name[2:]] = _shape(strokes)
