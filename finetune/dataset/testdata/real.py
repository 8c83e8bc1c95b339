"""Prints what TestRealData expects: python real.py DATASETS."""
import csv, gzip, hashlib, sys
import numpy as np
D=sys.argv[1]+'/'
sh=lambda a: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()
for n in ('train','t10k'):
  x=np.frombuffer(gzip.open(D+f'mnist/{n}-images-idx3-ubyte.gz').read()[16:],np.uint8)
  y=np.frombuffer(gzip.open(D+f'mnist/{n}-labels-idx1-ubyte.gz').read()[8:],np.uint8)
  print('mnist',n,len(y),x.size/len(y),y[:5],y.sum(),sh(x))
for k in (10,100):
  for n in ('train','test'):
    r=1 if k==10 else 2
    a=np.fromfile(D+f'cifar{k}/{n}.bin',np.uint8).reshape(-1,r+3072)
    y=a[:,r-1]; print('cifar',k,n,len(y),y[:5],y.astype(int).sum(),sh(a[:,r:]), sh(a[:,r:].reshape(-1,3,32,32).transpose(0,2,3,1)))
for f,lab,hdr in (('usps/zip.train.csv.gz',0,1),('usps/zip.test.csv.gz',0,1),('tabular/iris.csv',-1,1),('tabular/breast_cancer.csv',-1,1),('tabular/LetterRecognition.csv.gz',0,1),('tabular/Satellite.csv.gz',-1,1),('tabular/digits.csv.gz',-1,0)):
  o=(gzip.open if f.endswith('gz') else open)(D+f,'rt')
  rows=list(csv.reader(o))[hdr:]
  y=[r[lab] for r in rows]; 
  for r in rows: del r[lab]
  x=np.array(rows,np.float64)
  try: cl=np.array(y,float).astype(int)
  except ValueError:
    names=sorted(set(y)); cl=np.array([names.index(v) for v in y])
  print(f,x.shape,cl[:5],cl.sum(),sh(x.astype('<f8')))
