"""TUT Urban Acoustic Scenes 2018: acoustic scene classification, 10 scenes in six cities."""

from dcasekit.datasets._urban_scenes import UrbanScenes, zenodo


class TUTUrbanAcousticScenes2018(UrbanScenes):
    """TUT Urban Acoustic Scenes 2018, development set (DCASE 2018 task 1A): 8,640 clips of 10 s, ten scenes of 864.

    48 kHz, 24 bit, binaural (two channels), from 286 locations in six European cities: Barcelona, Helsinki, London, Paris, Stockholm,
    Vienna. A clip's group is its location (``city-location``): neighbouring segments of one recording sound alike, so a location must lie
    on one side of a split. Fold 1, the only one published: 6,122 clips to train, 2,518 to test. Published numbers are the mean of the ten
    scenes' accuracies on its test clips. There are no validation clips; the baseline and the DCASE tutorial draw them by
    ``validation_split(0.3, balance="identifier_two_level_hierarchy")``, which gives theirs, file for file.

    The leaderboard and evaluation sets (Zenodo 1245181, 1293883) are not read. The scenes are in alphabetical order.

    Layout: ``audio/<scene>-<city>-<location>-<segment>-a.wav``, ``meta.csv``, ``evaluation_setup/fold1_{train,evaluate}.txt`` (no header).

    Examples
    --------
    >>> TUTUrbanAcousticScenes2018("/data/TUT2018").labels[:3]
    ('airport', 'bus', 'metro')
    """

    labels = (
        "airport", "bus", "metro", "metro_station", "park",
        "public_square", "shopping_mall", "street_pedestrian", "street_traffic", "tram",
    )  # fmt: skip
    folds = ("train", "test")
    lists = ".txt"
    flatten = "TUT-urban-acoustic-scenes-2018-development"
    archives = zenodo(
        1228142,
        flatten,
        "28a4a9c46a6f46709ecc8eece365a3a4",
        "e196065ee83c07af03a11a310364377d",
        """
        62f97087c447e29def8716204469bf89 8e569a92025d82bff6b02b956d7c6dc9 00d2020582a4535af5e65322fb2bad56
        d691eb4271f83ba6ba9a28797accc497 c4d64b5483b60f85e9fe080b3435a6be 2f0feee78f216697eb19497714d97642
        07cfefe80a0731de6819181841239f3a 213f3c012859c2e9dcb74aacc8558458 b724442b09abcb3bd095ebff497cef85
        a27a32fa52e283ed8013375b8a16f269 7073a121e825ffef99832507f30d6644 6567aa61db12776568b6267ce122fb18
        d00eeb2db0e093d8975521323a96c519
        """,
    )
    licence = "academic, non-commercial use; terms of Tampere University of Technology in the dataset's LICENSE file"
    citation = "A. Mesaros, T. Heittola, T. Virtanen, 'A multi-device dataset for urban acoustic scene classification', DCASE Workshop, 2018, pp. 9-13. arXiv:1807.09840"  # noqa: E501
